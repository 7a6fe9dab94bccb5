"""Train a small GPT with Lightning, recorded by a callback.

python train.py --width 32 --seed 0 --steps 300 --every 10 --out build

A run that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from grokcrit.live.lightning import AvalancheCallback
from grokcrit.live.sinks import tensorboard

sys.path.append(str(Path(__file__).resolve().parents[1] / "nanogpt"))
from gpt import BLOCKS, GPT, HEADS, loss_and_accuracy
from text import BATCH, CONTEXT, tokens


class Sums(LightningModule):
    """The GPT and how it is trained."""

    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.gpt = GPT(characters, width, CONTEXT, BLOCKS, HEADS)

    def training_step(self, windows: torch.Tensor, index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        loss, _ = loss_and_accuracy(self.gpt, windows[:, :-1], windows[:, 1:])
        self.log("loss", loss)
        return loss

    def validation_step(self, windows: torch.Tensor, index: int) -> None:
        """Log the test accuracy, under the name that the callback looks for."""
        self.log("val_acc", loss_and_accuracy(self.gpt, windows[:, :-1], windows[:, 1:])[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3, weight_decay=0.1)


def main() -> None:
    """Read the command line, train one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("width", 32), ("seed", 0), ("steps", 300), ("every", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default=Path("build"))
    given = parser.parse_args()
    torch.set_num_threads(1)  # runs are spread over the cores, by make -j
    run = f"width-{given.width}-seed-{given.seed}"
    checkpoints = given.out / "checkpoints" / run
    logger = TensorBoardLogger(given.out / "tensorboard", name="", version=run)
    characters, known, held_out = tokens()
    seed_everything(given.seed)

    recording = AvalancheCallback(
        given.out / "parts",
        task="sums-in-words",
        width=given.width,
        every=given.every,
        sink=tensorboard(logger.experiment),
    )
    saving = ModelCheckpoint(checkpoints, every_n_train_steps=10 * given.every, save_last=True)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=given.steps + 1,  # the gradient of the last step is recorded too
        gradient_clip_val=1.0,
        val_check_interval=given.every,  # at the steps that are recorded
        check_val_every_n_epoch=None,
        log_every_n_steps=given.every,
        logger=logger,
        callbacks=[recording, saving],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Sums(characters, given.width)
    training = DataLoader(known.unfold(0, CONTEXT + 1, 4), BATCH, shuffle=True)
    held = DataLoader(held_out.unfold(0, CONTEXT + 1, CONTEXT)[:64], BATCH)
    last = checkpoints / "last.ckpt"
    if not last.exists():
        trainer.validate(model, held, verbose=False)  # the test accuracy of step 0
    trainer.fit(model, training, held, ckpt_path=last if last.exists() else None)

    recorder = recording.recorder
    print(
        f"width {given.width}, seed {given.seed}: {sum(p.numel() for p in model.parameters())} "
        f"parameters, {recorder.snapshots} rows, "
        f"test accuracy {trainer.callback_metrics['val_acc']:.3f}, "
        f"recording took {1e3 * recorder.seconds:.0f} ms"
    )


if __name__ == "__main__":
    main()
