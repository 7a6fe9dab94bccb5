"""What the recorder costs a training: examples/nanogpt's step with and without it, in turn.

    python benchmarks/recording.py [--blocks 60]

A block is ten steps, so that one with ``every=10`` holds one snapshot; the ways take turns block by
block, each on a model of its own with the same batches. The median says what a block costs, the
mean also what the parts cost that are written now and then. One thread.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import torch
from torch.nn import functional

from grokcrit.torch import GradientRecorder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/nanogpt"
sys.path.insert(0, str(EXAMPLE))
from gpt import GPT  # noqa: E402

STEPS = 10
WAYS = {"without": None, "every=1": 1, "every=10": 10}
CHARACTERS, CONTEXT, BATCH = 32, 48, 16


def steps(width: int, recorder: GradientRecorder | None) -> Iterator[float]:
    """Train; yield the seconds of each block of ten steps."""
    torch.manual_seed(0)
    model = GPT(CHARACTERS, width, CONTEXT, blocks=2, heads=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    text = torch.randint(CHARACTERS, (BATCH, CONTEXT + 1))
    step = 0
    while True:
        started = time.perf_counter()
        for _ in range(STEPS):
            logits = model(text[:, :-1]).flatten(0, 1)
            loss = functional.cross_entropy(logits, text[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            if recorder is not None:
                recorder.record(model, step, loss=loss)
            optimizer.step()
            step += 1
        yield time.perf_counter() - started


def measured(width: int, blocks: int) -> dict[str, list[float]]:
    """Run all ways in turn; seconds of each block, without the first, which warms up."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        trainings = {
            name: steps(
                width,
                every
                and stack.enter_context(
                    GradientRecorder(
                        f"{folder}/{every}", task="bench", width=width, seed=0, every=every
                    )
                ),
            )
            for name, every in WAYS.items()
        }
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        for block in range(blocks + 1):
            # Another one first each time: none is always the one after a pause.
            names = list(WAYS)[block % 3 :] + list(WAYS)[: block % 3]
            for name in names:
                seconds = next(trainings[name])
                if block:
                    times[name].append(seconds)
    return times


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 96, 256])
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| width | parameters | recorder | ms a step, median | mean | median over without |")
    print("|---|---|---|---|---|---|")
    for width in given.widths:
        times = measured(width, given.blocks)
        plain = statistics.median(times["without"])
        n = sum(p.numel() for p in GPT(CHARACTERS, width, CONTEXT, 2, 4).parameters())
        for name, each in times.items():
            middle = statistics.median(each)
            mean = statistics.fmean(each)
            print(
                f"| {width} | {n:,} | {name} | {1e3 * middle / STEPS:.2f} | "
                f"{1e3 * mean / STEPS:.2f} | {100 * (middle / plain - 1):+.1f} % |"
            )


if __name__ == "__main__":
    main()
