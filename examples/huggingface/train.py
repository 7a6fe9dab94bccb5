"""Train a small GPT-2 with the Hugging Face Trainer, recorded by a callback.

python train.py --width 32 --seed 0 --steps 300 --every 10 --out build

A run that was stopped goes on from its last checkpoint. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed
from transformers.integrations import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import EvalPrediction, get_last_checkpoint

from grokcrit.live.huggingface import AvalancheCallback
from grokcrit.live.sinks import tensorboard

sys.path.append(str(Path(__file__).resolve().parents[1] / "nanogpt"))
from gpt import BLOCKS, HEADS
from text import BATCH, CONTEXT, tokens


def gpt2(characters: int, width: int) -> GPT2LMHeadModel:
    """Return a GPT-2 made from a configuration, without dropout."""
    sizes = {"n_embd": width, "n_layer": BLOCKS, "n_head": HEADS, "n_positions": CONTEXT}
    none = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    ends = {"bos_token_id": None, "eos_token_id": None}
    return GPT2LMHeadModel(GPT2Config(vocab_size=characters, **sizes, **none, **ends))


def examples(text: torch.Tensor, apart: int) -> list[dict[str, torch.Tensor]]:
    """Return windows of the text as the Trainer takes them; the model shifts the labels itself."""
    return [{"input_ids": each, "labels": each} for each in text.unfold(0, CONTEXT, apart)]


def foretold(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the most likely characters: all that is kept of an evaluation's logits."""
    return logits.argmax(-1)


def accuracy(evaluated: EvalPrediction) -> dict[str, float]:
    """Return the share of characters foretold."""
    right = evaluated.predictions[:, :-1] == evaluated.label_ids[:, 1:]
    return {"accuracy": float(right.mean())}


def main() -> None:
    """Read the command line, train one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("width", 32), ("seed", 0), ("steps", 300), ("every", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default=Path("build"))
    given = parser.parse_args()
    torch.set_num_threads(1)  # runs are spread over the cores, by make -j
    run = f"width-{given.width}-seed-{given.seed}"
    checkpoints = str(given.out / "checkpoints" / run)
    writer = SummaryWriter(str(given.out / "tensorboard" / run))
    characters, known, held_out = tokens()
    set_seed(given.seed)

    recording = AvalancheCallback(
        given.out / "parts",
        task="sums-in-words",
        width=given.width,
        every=given.every,
        sink=tensorboard(writer),
    )
    trainer = Trainer(
        gpt2(characters, given.width),
        TrainingArguments(
            checkpoints,
            seed=given.seed,
            max_steps=given.steps + 1,  # the gradient of the last step is recorded too
            per_device_train_batch_size=BATCH,
            learning_rate=3e-3,
            weight_decay=0.1,
            lr_scheduler_type="constant",
            logging_steps=given.every,
            eval_strategy="steps",
            eval_steps=given.every,  # at the steps that are recorded
            eval_on_start=True,  # step 0 is one
            save_steps=10 * given.every,
            save_total_limit=1,
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",  # the two callbacks share a writer
        ),
        train_dataset=examples(known, 4),
        eval_dataset=examples(held_out, CONTEXT)[:64],
        compute_metrics=accuracy,
        preprocess_logits_for_metrics=foretold,
        callbacks=[TensorBoardCallback(writer), recording],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(checkpoints))

    recorder = recording.recorder
    last = next(each for each in reversed(trainer.state.log_history) if "eval_accuracy" in each)
    print(
        f"width {given.width}, seed {given.seed}: {trainer.model.num_parameters()} parameters, "
        f"{recorder.snapshots} rows, test accuracy {last['eval_accuracy']:.3f}, "
        f"recording took {1e3 * recorder.seconds:.0f} ms"
    )


if __name__ == "__main__":
    main()
