"""The recorder as a callback of Lightning.

Trainer(callbacks=[AvalancheCallback("parts/", task="text", every=50)])
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from grokcrit.live.callback import Recording
from grokcrit.live.extras import library

if TYPE_CHECKING:
    Callback = Any
elif "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
    Callback = library("pytorch_lightning", "lightning").Callback
else:
    Callback = library("lightning.pytorch", "lightning").Callback

__all__ = ["AvalancheCallback"]


class AvalancheCallback(Recording, Callback):  # type: ignore[misc]
    """Runs the cascade of the gradient inside the loop of a Lightning Trainer.

    It sees the gradient summed over the accumulation, averaged over processes, in the unit of the
    loss (a GradScaler's factor is taken out), and *before* clipping: the rows' field is
    ``gradient``. The loss of a row is the mean over its own batches, of several optimizers that of
    the last ``backward``; the test accuracy is that of a validation at that step, and else missing.
    A ``fast_dev_run`` records nothing.

    Parameters
    ----------
    folder, task, width, seed, measure, **options
        See :class:`grokcrit.live.callback.Recording`; the seed is by default that of
        ``seed_everything``, or 0.
    accuracy
        Name under which the module logs its test accuracy in validation.
    optimizer
        Which of several optimizers is recorded; a step is an update of it. Choose its parameters
        with ``include=``.
    """

    def __init__(
        self, folder: Any, *, accuracy: str = "val_acc", optimizer: int = 0, **options: Any
    ) -> None:
        super().__init__(folder, **options)
        self._accuracy, self._optimizer = accuracy, optimizer
        self._stage = ""
        self._updates = 0  # of the optimizer; Lightning counts those of all
        self._validated: tuple[int, float] | None = None  # after so many updates, the accuracy
        self._losses: list[Any] = []  # of the batches since the last update

    @property
    def state_key(self) -> str:
        """Name of the callback in a checkpoint: a training may have several."""
        return f"grokcrit {self._folder} {self._optimizer}"

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Forget an earlier training; a validation before this one is of this one."""
        if stage == "fit":
            self._updates, self._losses = 0, []
            if self._stage == "fit":
                self._validated = None
        self._stage = stage

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the recorder, which goes on after the last step in its folder."""
        if not trainer.fast_dev_run:  # its steps are not those of the training
            self.begin(pl_module, int(os.environ.get("PL_GLOBAL_SEED", 0)), "gradient")

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """Note the loss of a batch; of several optimizers that of the last one."""
        if len(trainer.optimizers) > 1:
            self._losses = []
        # Lightning has divided it by the accumulation, of which an epoch's last group has less.
        self._losses.append(loss.detach() * trainer.accumulate_grad_batches)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Record the gradient."""
        if optimizer is not trainer.optimizers[self._optimizer]:
            return
        self._updates = self._made(trainer)
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        self._losses = []
        accuracy = None
        if self._validated and self._validated[0] == self._updates:
            accuracy = self._validated[1]
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self.take(pl_module, self._updates, scaler, loss=loss, test_accuracy=accuracy)
        self._updates += 1

    def _made(self, trainer: Any) -> int:
        """Return how many updates the optimizer has made."""
        return self._updates if len(trainer.optimizers) > 1 else int(trainer.global_step)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the test accuracy."""
        if not trainer.sanity_checking and self._accuracy in trainer.callback_metrics:
            accuracy = float(trainer.callback_metrics[self._accuracy])
            self._validated = self._made(trainer), accuracy

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the updates made, and the last accuracy."""
        return {"validated": self._validated, "updates": self._updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the updates made and the last accuracy from a checkpoint."""
        self._validated, self._updates = state_dict["validated"], state_dict["updates"]

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Write the rows beside the checkpoint."""
        self.saved()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the last rows."""
        self.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the last rows of a training that failed."""
        self.end()
