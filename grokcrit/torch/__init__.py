"""The public name of live: the recorder inside anyone's PyTorch training.

with GradientRecorder("run-64/", task="chars", width=64, seed=0, every=10) as recorder:
    ...
    loss.backward()
    recorder.record(model, step, loss=loss.item())
    optimizer.step()
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "grokcrit.torch needs PyTorch: pip install 'grokcrit[torch]'", name="torch"
    ) from None

from grokcrit.live.recorder import GradientRecorder

__all__ = ["GradientRecorder"]
