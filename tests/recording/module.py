"""A LightningModule and its training, for tests and for a process that is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from grokcrit.live.lightning import AvalancheCallback

generator = torch.Generator().manual_seed(0)
# Eight batches: Lightning does not forward the loader when it resumes within an epoch.
BATCH, BATCHES = 4, 8
X = torch.randn(BATCH * BATCHES, 3, generator=generator)
Y = (X.sum(1) > 0).long()


class Module(pl.LightningModule):
    """A perceptron; ``two``: with an optimizer for each layer, stepped in turn."""

    def __init__(self, dropout: float = 0.0, two=False, fails_at=None, constant=False):
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(8, 2)
        self.dropout, self.fails_at = nn.Dropout(dropout), fails_at
        self.constant = constant
        self.automatic_optimization = not two

    def forward(self, x):
        return self.second(self.dropout(torch.tanh(self.first(x))))

    def training_step(self, batch, index):
        if index == self.fails_at:
            raise FloatingPointError("made to fail")
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        if self.constant:
            loss = 3.0 + loss - loss.detach()
        if self.automatic_optimization:
            return loss
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        return None

    def validation_step(self, batch, index):
        self.log("val_acc", 0.25)

    def configure_optimizers(self):
        if self.automatic_optimization:
            return torch.optim.AdamW(self.parameters(), lr=0.05)
        return [torch.optim.SGD(p.parameters(), lr=0.1) for p in (self.first, self.second)]


class Watched(pl.Callback):
    """Keeps the weights at the start of each step; kills the process at one."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.weights: dict[int, dict[str, torch.Tensor]] = {}
        self.killed_at = killed_at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        state = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.weights.setdefault(trainer.global_step, state)
        if trainer.global_step == self.killed_at:
            os.kill(os.getpid(), signal.SIGKILL)


def module(**options) -> Module:
    torch.manual_seed(0)
    return Module(**options)


def trainer(
    folder, *, steps=6, callback=True, killed_at=None, resumes=False, own=None, dropout=0.0,
    two=False, fails_at=None, constant=False, others=(), **options,
):  # fmt: skip
    """A Trainer, a module, its loader, what watches it, and the checkpoint to resume from."""
    folder, watched = Path(folder), Watched(killed_at)
    saving = ModelCheckpoint(
        folder / "out", every_n_train_steps=4, save_top_k=-1, filename="{step}"
    )
    callbacks = [watched, saving]
    if callback:
        own = {"every": 2, "cascade": {"degree": 4}, **(own or {})}
        callbacks.append(AvalancheCallback(folder / "parts", task="sums", **own))
    callbacks += others
    made = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        **{"num_sanity_val_steps": 0, "limit_val_batches": 1, **options},
    )
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=BATCH)
    latest = folder / "out/step=8.ckpt" if resumes else None
    return (
        made,
        module(dropout=dropout, two=two, fails_at=fails_at, constant=constant),
        loader,
        watched,
        latest,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    made, model, loader, _, _ = trainer(sys.argv[1], steps=12, killed_at=int(sys.argv[2]))
    made.fit(model, loader, loader)
