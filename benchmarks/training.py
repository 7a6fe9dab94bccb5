"""In-line training: ours against torch with networkx loops, torch alone, in one process.

    python benchmarks/training.py [--hidden 20,100] [--seeds 2] [--epochs 100] [--rounds 3]

The peers do the same work: the same networks and updates, the same cascade every epoch. Rounds are
interleaved, medians and spread are reported, and the peers' avalanche sizes are compared with ours
so that a fast wrong answer would show. They differ in some epochs: torch sums in another order, and
a threshold makes a toppling of a last bit, which in-line training then follows.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
import torch

from grokcrit.graphs import graph
from grokcrit.options import TrainOptions
from grokcrit.stages.train import XOR_INPUTS, XOR_TARGETS, Run, initial_weights, runs


def torch_network(weights: np.ndarray) -> list[torch.Tensor]:
    """W1, b1, W2, b2 as leaves."""
    h = len(weights) // 4
    flat = torch.tensor(weights)
    pieces = flat[: 2 * h].reshape(h, 2), flat[2 * h : 3 * h], flat[3 * h : 4 * h], flat[4 * h :]
    return [piece.clone().requires_grad_() for piece in pieces]


def networkx_cascade(net: nx.Graph, values: dict[int, float]) -> int:
    """Topple with plain loops; return the size."""
    theta = np.percentile(np.abs(list(values.values())), 90)
    size = 0
    for _ in range(20):
        active = [i for i, g in values.items() if abs(g) > theta]
        if not active:
            break
        size += len(active)
        sent = {i: 0.3 * values[i] / net.degree(i) for i in active}
        for i in active:
            values[i] = (1 - 0.3) * values[i]
        for i in active:
            for j in net.neighbors(i):
                values[j] += sent[i]
    return size


def torch_run(run: Run, net: nx.Graph | None) -> list[int]:
    """Train one run with autograd; cascade in line where a graph is given."""
    parts = torch_network(initial_weights(run))
    inputs, targets = torch.tensor(XOR_INPUTS), torch.tensor(XOR_TARGETS)
    sizes = []
    for _ in range(run.options.epochs + 1):
        w1, b1, w2, b2 = parts
        logit = torch.tanh(inputs @ w1.T + b1) @ w2 + b2
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, targets)
        gradients = torch.autograd.grad(loss, parts)
        if net is not None:
            flat = torch.cat([g.reshape(-1) for g in gradients]).tolist()
            values = dict(enumerate(flat))
            sizes.append(networkx_cascade(net, values))
            moved = torch.tensor(list(values.values()), dtype=torch.float64)
            split = torch.split(moved, [g.numel() for g in gradients])
            gradients = tuple(m.reshape(g.shape) for m, g in zip(split, gradients, strict=True))
        with torch.no_grad():
            for part, g in zip(parts, gradients, strict=True):
                part -= run.options.lr * g
    return sizes


def timed(function: Callable[[], object]) -> tuple[float, object]:
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", default="20,30,50,75,100,200,300,500")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    hidden = tuple(map(int, given.hidden.split(",")))
    options = TrainOptions(hidden=hidden, seeds=given.seeds, epochs=given.epochs)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    tasks = [Run(options, h, s) for h in hidden for s in range(options.seeds)]
    nets = {}
    for h in hidden:
        net = graph("ba", n=4 * h + 1)
        nets[h] = nx.Graph()
        nets[h].add_nodes_from(range(net.n))
        nets[h].add_edges_from(
            (i, int(j))
            for i in range(net.n)
            for j in net.indices[net.indptr[i] : net.indptr[i + 1]]
        )
    ways: dict[str, Callable[[], object]] = {
        "grokcrit, 1 thread": lambda: list(runs(options, threads=1)),
        "grokcrit, 2 threads": lambda: list(runs(options, threads=2)),
        "torch, no cascade": lambda: [torch_run(task, None) for task in tasks],
        "torch + networkx loops": lambda: [torch_run(task, nets[task.width]) for task in tasks],
    }
    ways["grokcrit, 1 thread"]()  # compile
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, object] = {}
    for _ in range(given.rounds):
        for name, way in ways.items():
            spent, results[name] = timed(way)
            seconds[name].append(spent)
    ours = np.concatenate([t["size"].to_numpy() for t in results["grokcrit, 1 thread"]])
    theirs = np.concatenate(results["torch + networkx loops"])
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"{len(tasks)} runs x {options.epochs} epochs, {given.rounds} rounds, median (spread)")
    fast = statistics.median(seconds["grokcrit, 2 threads"])
    for name, spent in seconds.items():
        middle = statistics.median(spent)
        print(
            f"{name:26s} {middle:8.2f} s ({min(spent):.2f} to {max(spent):.2f})"
            f"  {middle / fast:6.1f} x ours on 2 threads"
        )
    agreement = float((ours == theirs).mean())
    print(f"avalanche sizes equal to torch + networkx: {agreement:.2%} of {len(ours)} epochs")


if __name__ == "__main__":
    main()
