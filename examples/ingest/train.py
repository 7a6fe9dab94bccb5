"""Train a toy at several sizes and save its weights, as any training script might.

    python train.py FOLDER [--hidden 8,16,32,64] [--seeds 3] [--steps 200] [--every 10]

A network 4-h-1 with tanh units learns the parity of four bits by plain gradient descent.
Checkpoints go to FOLDER/parity-<h>-seed<s>/step<t>.npz. Nothing here knows of grokcrit.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]

INPUTS = np.array(list(itertools.product([-1, 1], repeat=4)), np.float32)
TARGETS = (INPUTS.prod(axis=1) > 0).astype(np.float32)
RATE = np.float32(0.5)


def initial(hidden: int, seed: int) -> dict[str, Array]:
    """Draw the weights of a network."""
    rng = np.random.default_rng([hidden, seed])
    shapes = {"hidden.weight": (hidden, 4), "hidden.bias": (hidden,), "out.weight": (hidden,)}
    scale = {"hidden.weight": 0.5, "hidden.bias": 0.5, "out.weight": hidden**-0.5}
    return {
        **{k: (scale[k] * rng.standard_normal(shape)).astype("f4") for k, shape in shapes.items()},
        "out.bias": np.zeros(1, np.float32),
    }


def gradient(weights: dict[str, Array]) -> dict[str, Array]:
    """Return the gradient of the mean cross-entropy."""
    units = np.tanh(INPUTS @ weights["hidden.weight"].T + weights["hidden.bias"])
    logits = units @ weights["out.weight"] + weights["out.bias"]
    error = (1 / (1 + np.exp(-logits)) - TARGETS) / len(TARGETS)
    back = np.outer(error, weights["out.weight"]) * (1 - units**2)
    return {
        "hidden.weight": back.T @ INPUTS,
        "hidden.bias": back.sum(axis=0),
        "out.weight": error @ units,
        "out.bias": error.sum(keepdims=True),
    }


def train(folder: Path, hidden: int, seed: int, steps: int, every: int) -> int:
    """Train one network; return how many checkpoints were saved."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = initial(hidden, seed)
    for step in range(steps + 1):
        if step % every == 0:
            np.savez(folder / f"step{step}.npz", **weights)
        for name, slope in gradient(weights).items():
            weights[name] = weights[name] - RATE * slope
    return steps // every + 1


def main() -> None:
    """Train every size and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hidden", default="8,16,32,64")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=10)
    given = parser.parse_args()
    saved = sum(
        train(given.folder / f"parity-{h}-seed{seed}", h, seed, given.steps, given.every)
        for h in map(int, given.hidden.split(","))
        for seed in range(given.seeds)
    )
    print(f"saved {saved} checkpoints")


if __name__ == "__main__":
    main()
