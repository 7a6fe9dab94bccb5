"""Where the numbers of each row go besides the table: trackers of experiments, or a CSV file.

A sink is any function of (step, numbers); these return one. ``numbers`` are those of
:mod:`grokcrit.live.numbers`, with the loss and the accuracies that were given; what is not defined
at a step is missing.

GradientRecorder(..., keep="avalanches", sink=[tensorboard(writer), csv("numbers.csv")])
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from grokcrit.base.errors import UnwritableError, reason
from grokcrit.live.extras import library
from grokcrit.live.numbers import NAMES
from grokcrit.live.options import Sink

PREFIX = "grokcrit/"


def tensorboard(writer: Any) -> Sink:
    """Return a sink for TensorBoard.

    Parameters
    ----------
    writer
        A ``SummaryWriter``, or the folder for a new one.
    """
    if isinstance(writer, str | os.PathLike):
        library("tensorboard", "tensorboard")  # torch says less about what is missing
        module = library("torch.utils.tensorboard", "tensorboard")
        writer = module.SummaryWriter(os.fspath(writer))

    def sink(step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(PREFIX + name, value, step)
        writer.flush()

    return sink


def wandb(run: Any = None) -> Sink:
    """Return a sink for Weights & Biases.

    The numbers have a step axis of their own, ``grokcrit/step``: a run's own logging goes on as it
    is.

    Parameters
    ----------
    run
        What ``wandb.init`` returned; None for the current run.
    """
    current = library("wandb", "wandb").run if run is None else run
    if current is None:
        raise ValueError("there is no current run; call wandb.init first, or pass its run")
    current.define_metric(f"{PREFIX}step")
    current.define_metric(f"{PREFIX}*", step_metric=f"{PREFIX}step")

    def sink(step: int, numbers: dict[str, float]) -> None:
        named = {PREFIX + name: value for name, value in numbers.items()}
        current.log({f"{PREFIX}step": step, **named})

    return sink


def mlflow(run_id: str | None = None, tracking_uri: str | None = None) -> Sink:
    """Return a sink for MLflow.

    Parameters
    ----------
    run_id
        Of an existing run; None for the active one.
    tracking_uri
        Where the run is kept; None as MLflow is configured.
    """
    module = library("mlflow", "mlflow")
    if run_id is None:
        active = module.active_run()
        if active is None:
            raise ValueError("there is no active run; call mlflow.start_run first, or pass run_id")
        run_id = active.info.run_id
    client = module.MlflowClient(tracking_uri)

    def sink(step: int, numbers: dict[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [
            module.entities.Metric(PREFIX + name, value, now, step)
            for name, value in numbers.items()
        ]
        client.log_batch(run_id, metrics)

    return sink


def csv(path: str | os.PathLike[str]) -> Sink:
    """Return a sink that appends a line per row to a CSV file; what is missing is empty.

    Raises
    ------
    UnwritableError
        The file cannot be opened.
    """
    place = Path(path)
    names = ("step", *NAMES)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or not place.stat().st_size:
            place.write_text(",".join(names) + "\n")
    except OSError as error:
        raise UnwritableError(f"cannot write {place}: {reason(error)}") from None

    def sink(step: int, numbers: dict[str, float]) -> None:
        values = {"step": step, **numbers}
        with place.open("a") as file:
            file.write(",".join(repr(values[n]) if n in values else "" for n in names) + "\n")

    return sink
