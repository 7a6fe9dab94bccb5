"""A training whose signals are recorded, and what they are compared with."""

import numpy as np
import pytest
import torch
from torch import nn

from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import SIGNALS, TRAIN
from grokcrit.torch import GradientRecorder
from tests.recording.models import RUN, loss_of, mlp

ALL = ("all", "size")
OF_HALVES = ("half-cosine", "commutator", "hessian-top", "hessian-trace")
# Batches that no step of the training has.
A, B = 900, 901


def trained(folder, steps=24, *, dtype=torch.float32, lr=0.1, every=1, halved=True, **options):
    """Train an MLP, recorded; return the weights at each recorded step."""
    model = mlp(dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    halves = [lambda k=k: loss_of(model, k, dtype) for k in (A, B)] if halved else None
    weights = []
    options = {"signals": ALL, "keep": "both", "cascade": {"degree": 4}, **options}
    with GradientRecorder(folder, **RUN, every=every, part_snapshots=10, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model, step, dtype)
            loss.backward()
            if recorder.due(step):
                weights.append(vector_of(model))
            accuracies = {"train_accuracy": 0.5, "test_accuracy": step / 1000}
            recorder.record(model, step, loss=loss, halves=halves, **accuracies)
            optimizer.step()
    return weights


def vector_of(model):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def of_vector(weights, dtype):
    """An MLP of these weights."""
    model = mlp(dtype=dtype)
    nn.utils.vector_to_parameters(torch.from_numpy(weights).to(dtype), model.parameters())
    return model


def gradient_at(weights, k, dtype):
    """Loss and gradient of batch k at some weights, in a model of their own."""
    model = of_vector(weights, dtype)
    loss = loss_of(model, k, dtype)
    loss.backward()
    return float(loss.detach()), np.concatenate(
        [p.grad.numpy().ravel() for p in model.parameters()]
    )


def table(folder):
    """The signals of a folder: {name: {step: value}}."""
    found = {}
    for row in Inputs(folder / "signals", SIGNALS).read().to_pylist():
        assert row["epoch"] not in found.setdefault(row["signal"], {})
        found[row["signal"]][row["epoch"]] = row["value"]
    return found


def gradients(folder):
    return [np.array(v) for v in Inputs(folder / "gradients", TRAIN).read()["gradient"].to_pylist()]


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


def close(found, wanted, rtol):
    assert found == pytest.approx(wanted, rel=rtol, abs=rtol * 1e-3)
