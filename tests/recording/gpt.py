"""A Trainer's training of a tiny GPT-2, for tests and for a process that is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from grokcrit.live.huggingface import AvalancheCallback

TEXT = torch.randint(17, (64, 8), generator=torch.Generator().manual_seed(0))
LABELS = torch.where(torch.arange(8) == 0, -100, TEXT)  # the first character is not foretold
DATA = [{"input_ids": x, "labels": y} for x, y in zip(TEXT, LABELS, strict=True)]
BATCH = 4


def gpt(dropout: float = 0.0) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    rates = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), dropout)
    tokens = {"bos_token_id": 0, "eos_token_id": 0}
    sizes = {"vocab_size": 17, "n_positions": 8, "n_embd": 8, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes, **tokens, **rates))


class Watched(TrainerCallback):
    """Keeps the weights at the start of each step; kills the process at one."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.weights: dict[int, list[torch.Tensor]] = {}
        self.killed_at = killed_at

    def on_step_begin(self, args, state, control, model, **kwargs):
        self.weights[state.global_step] = [p.detach().clone() for p in model.parameters()]
        if state.global_step == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)


def trainer(folder, *, model=None, callback=True, killed_at=None, own=None, **arguments):
    """A Trainer that writes checkpoints and parts below a folder."""
    watched = Watched(killed_at)
    callbacks = [watched]
    if callback:
        own = {"every": 2, "cascade": {"degree": 4}, **(own or {})}
        callbacks.append(AvalancheCallback(Path(folder) / "parts", task="text", **own))
    arguments = {
        "per_device_train_batch_size": BATCH,
        "max_steps": 6,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "save_strategy": "no",
        "train_sampling_strategy": "sequential",
        **arguments,
    }
    args = TrainingArguments(
        str(Path(folder) / "out"), use_cpu=True, report_to=[], disable_tqdm=True, **arguments
    )
    made = Trainer(
        gpt() if model is None else model,
        args,
        train_dataset=DATA,
        eval_dataset=DATA[:8],
        callbacks=callbacks,
        compute_metrics=lambda prediction: {"accuracy": 0.25},
    )
    return made, watched


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer(
        sys.argv[1],
        killed_at=int(sys.argv[2]),
        max_steps=12,
        save_strategy="steps",
        save_steps=4,
    )[0].train()
