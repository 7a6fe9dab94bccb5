"""The recorder as a callback of the Hugging Face Trainer.

Trainer(model, args, ..., callbacks=[AvalancheCallback("parts/", task="text", every=50)])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokcrit.live.callback import Recording
from grokcrit.live.extras import library

if TYPE_CHECKING:
    TrainerCallback = Any
else:
    TrainerCallback = library("transformers", "huggingface").TrainerCallback

__all__ = ["AvalancheCallback"]


class AvalancheCallback(Recording, TrainerCallback):  # type: ignore[misc]
    """Runs the cascade of the gradient inside the Trainer's loop.

    It sees the gradient that the optimizer is about to use: summed over the accumulation, averaged
    over processes, in the unit of the loss (a GradScaler's factor is taken out), and *after*
    clipping. Where the Trainer clips (``max_grad_norm > 0``, its default of 1.0), the rows' field
    is therefore ``clipped-gradient``. Clipping by norm changes no count of a cascade, only its
    threshold.

    The loss of a row is the mean that the Trainer logged at that step, since its log before; the
    test accuracy is that of its evaluation at that step. Where the steps do not coincide, they are
    missing; ``measure=`` replaces them.

    Parameters
    ----------
    folder, task, width, seed, measure, **options
        See :class:`grokcrit.live.callback.Recording`; the seed is by default that of the arguments.
    accuracy
        Name of the test accuracy among the metrics of an evaluation.
    """

    def __init__(self, folder: Any, *, accuracy: str = "eval_accuracy", **options: Any) -> None:
        super().__init__(folder, **options)
        self._accuracy = accuracy

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make the recorder, which goes on after the last step in its folder."""
        clips = args.max_grad_norm is not None and args.max_grad_norm > 0
        self.begin(kwargs["model"], args.seed, "clipped-gradient" if clips else "gradient")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the gradient."""
        scaler = getattr(kwargs.get("optimizer"), "scaler", None)
        self.take(kwargs["model"], state.global_step, scaler, **self.logged(state))

    def logged(self, state: Any) -> dict[str, Any]:
        """Return what the Trainer logged after the last update; checkpoints keep its log."""
        found: dict[str, Any] = {}
        for entry in reversed(state.log_history):
            if entry["step"] != state.global_step:
                break
            names = {"loss": "loss", self._accuracy: "test_accuracy"}
            found |= {ours: entry[name] for name, ours in names.items() if name in entry}
        return found

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the rows beside the checkpoint."""
        self.saved()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the last rows."""
        self.end()
