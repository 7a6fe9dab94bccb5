"""What cascades in the loop cost: share of the steps, memory, a budget, a gradient of 1e9 entries.

    python benchmarks/live.py [--blocks 6] [--only loop,budget,billion-ba,billion-affine]

The loop is that of a GPT of 1e7 parameters on one thread. A block is 50 steps, of which one is
recorded; the ways take turns block by block, each on a model of its own with the same batches.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from grokcrit.torch import GradientRecorder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/nanogpt"
sys.path.insert(0, str(EXAMPLE))
from gpt import GPT  # noqa: E402

EVERY, WIDTH, BLOCKS, CHARACTERS, CONTEXT, BATCH = 50, 320, 8, 64, 128, 8
MILLION = 10**6
WAYS: dict[str, dict[str, Any] | None] = {
    "without": None,
    "sample of 1e6, ba": {"sample": MILLION},
    "all, ba": {},
}


def steps(recorder: GradientRecorder | None) -> Iterator[list[float]]:
    """Train; yield the seconds of each step of a block, those of the recorder included."""
    torch.manual_seed(0)
    model = GPT(CHARACTERS, WIDTH, CONTEXT, blocks=BLOCKS, heads=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    text = torch.randint(CHARACTERS, (BATCH, CONTEXT + 1))
    step = 0
    while True:
        seconds = []
        for _ in range(EVERY):
            started = time.perf_counter()
            logits = model(text[:, :-1]).flatten(0, 1)
            loss = functional.cross_entropy(logits, text[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            if recorder is not None:
                recorder.record(model, step, loss=loss)
            optimizer.step()
            step += 1
            seconds.append(time.perf_counter() - started)
        yield seconds


class Peak:
    """The most memory of this process while a block runs, beside what it had before."""

    def __enter__(self) -> Peak:
        self.before = self.most = resident()
        self.running = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Look at the memory until the block ends."""
        while self.running:
            self.most = max(self.most, resident())
            time.sleep(0.0005)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()

    @property
    def added(self) -> float:
        """MB more than before."""
        return (self.most - self.before) / 1e6


def resident() -> int:
    """Return the bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def loop(blocks: int) -> None:
    """Compare the ways, block by block in turn; the first block of each warms up."""
    with tempfile.TemporaryDirectory() as folder:
        recorders = {
            name: GradientRecorder(
                f"{folder}/{k}",
                **{"task": "bench", "width": WIDTH, "seed": 0, "every": EVERY},
                **{"keep": "avalanches", **(WAYS[name] or {})},
            )
            if WAYS[name] is not None
            else None
            for k, name in enumerate(WAYS)
        }
        trainings = {name: steps(recorder) for name, recorder in recorders.items()}
        times: dict[str, list[list[float]]] = {name: [] for name in WAYS}
        for block in range(blocks + 1):
            names = list(WAYS)[block % len(WAYS) :] + list(WAYS)[: block % len(WAYS)]
            for name in names:
                seconds = next(trainings[name])
                if block:
                    times[name].append(seconds)
        without = [statistics.fmean(block) for block in times["without"]]
        print("| way | ms per step, median | of its row | share of the row | set-up, s |")
        print("|---|---|---|---|---|")
        for name, found in times.items():
            each = [statistics.fmean(block) for block in found]
            pairs = [a / b - 1 for a, b in zip(each, without, strict=True)]
            recorder = recorders[name]
            row = share = setup = ""
            if recorder is not None:
                cost = (recorder.seconds - recorder.setup_seconds) / blocks
                row, setup = f"{1000 * cost:.0f} ms", f"{recorder.setup_seconds:.1f}"
                share = f"{cost / (EVERY * statistics.median(without)):.2%}"
            step = f"{1000 * statistics.median(each):.1f} ({statistics.median(pairs):+.1%})"
            print(f"| {name} | {step} | {row} | {share} | {setup} |")


def budget(share: float) -> None:
    """Keep a budget on a loop whose steps vary by a factor of ten."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1000, 1000)
    model.weight.grad = torch.randn_like(model.weight)
    model.bias.grad = torch.randn_like(model.bias)
    with (
        tempfile.TemporaryDirectory() as folder,
        GradientRecorder(
            folder, task="bench", width=1, seed=0, keep="avalanches", budget=share, every=1
        ) as recorder,
    ):
        started = time.perf_counter()
        step = rows = 0
        while time.perf_counter() - started < 60:
            rows += recorder.record(model, step)
            time.sleep(0.002 * (1 + 9 * ((step // 200) % 2)))
            step += 1
        print(
            f"budget {share:.1%}: {recorder.overhead:.2%} of the time, {rows} rows in {step} steps"
        )


def billion(topology: str) -> None:
    """Take rows of a sample of 1e6 entries of a gradient of 1e9."""
    model = torch.nn.Module()
    model.weight = torch.nn.Parameter(torch.zeros(1000, MILLION))  # never touched: no memory
    model.weight.grad = torch.randn(1000, MILLION)
    with (
        tempfile.TemporaryDirectory() as folder,
        GradientRecorder(
            folder,
            **{"task": "bench", "width": 1, "seed": 0, "keep": "avalanches"},
            **{"sample": MILLION, "cascade": {"topology": topology}},
        ) as recorder,
    ):
        with Peak() as first:
            recorder.record(model, 0)
        seconds = []
        with Peak() as later:
            for step in range(1, 12):
                started = time.perf_counter()
                recorder.record(model, step)
                seconds.append(time.perf_counter() - started)
        print(
            f"1e9 entries, sample of 1e6, {topology}: first row {recorder.setup_seconds:.2f} s and "
            f"{first.added:.0f} MB; later {statistics.median(seconds):.3f} s a row (at most "
            f"{max(seconds):.3f}) and {later.added:.0f} MB more"
        )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--only", default="loop,budget,billion-ba")
    given = parser.parse_args()
    torch.set_num_threads(1)
    parts: dict[str, Callable[[], None]] = {
        "loop": lambda: loop(given.blocks),
        "budget": lambda: budget(0.01),
        "billion-ba": lambda: billion("ba"),
        "billion-affine": lambda: billion("affine"),
    }
    for name in given.only.split(","):
        parts[name]()


if __name__ == "__main__":
    main()
