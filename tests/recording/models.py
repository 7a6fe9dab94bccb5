"""Small models and a training loop, for the recorder's tests and for processes they start."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import TRAIN
from grokcrit.torch import GradientRecorder

ROOT = Path(__file__).resolve().parents[2]
RUN = {"task": "sums", "width": 5, "seed": 0}


def mlp(width=5, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2)).to(dtype)


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(8, 3, generator=generator).to(dtype)
    return x, (x.sum(1) > 0).long()


def loss_of(model, step, dtype=torch.float32):
    x, y = batch(step, dtype)
    return nn.functional.cross_entropy(model(x), y)


def by_autograd(model, loss):
    """The gradient of a loss as one vector, from autograd itself and the names' order."""
    parameters = [p for _, p in model.named_parameters() if p.requires_grad]
    return np.concatenate(
        [g.numpy().reshape(-1) for g in torch.autograd.grad(loss, parameters, retain_graph=True)]
    )


def rows(folder):
    return Inputs(folder, TRAIN).read().to_pylist()


def gradients(folder):
    return [row["gradient"] and np.array(row["gradient"]) for row in rows(folder)]


def train(folder, steps, *, checkpoint=None, killed_at=None, every=2, **options):
    """Train an MLP, from its checkpoint where there is one; SIGKILL itself at a step."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = 0
    if checkpoint is not None and os.path.exists(checkpoint):
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        first = state["step"]
    with GradientRecorder(
        folder, task="sums", width=5, seed=0, every=every, part_snapshots=4, **options
    ) as recorder:
        for step in range(first, steps):
            if step == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if checkpoint is not None and step % 10 == 0:
                torch.save({"model": model.state_dict(), "step": step}, checkpoint)
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            recorder.record(model, step, loss=loss, test_accuracy=min(1.0, step / steps))
            optimizer.step()
    return recorder


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1], 40, checkpoint=sys.argv[2], killed_at=int(sys.argv[3]))
