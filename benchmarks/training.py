"""In-line training: ours against torch alone and with two cascades, 48 runs of 500 epochs.

The peers do the same work: the same networks and updates, the same cascade every epoch. Their
avalanche sizes are compared with ours so that a fast wrong answer would show. They differ in some
epochs: torch sums in another order, and a threshold makes a toppling of a last bit, which in-line
training then follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cascades import networkx_cascade, networkx_graph, scipy_cascade, scipy_matrix
from measure import Section, Way, measure, row, torch_or_none

from grokcrit.cascades.graphs import graph
from grokcrit.stages.train import runs
from grokcrit.tasks.xor import TARGETS, TrainOptions
from grokcrit.tasks.xor.training import INPUTS, Run, initial_weights

HIDDEN = (20, 30, 50, 75, 100, 200, 300, 500)
# A peer that does the same agrees in most epochs; one that does something else in hardly any.
MOST = 0.9

# Topples a flat gradient, shape (N,): returns the size and what became of it.
Cascade = Callable[[np.ndarray], tuple[int, np.ndarray]]


def torch_network(weights: np.ndarray) -> list[Any]:
    """W1, b1, W2, b2 as leaves."""
    h = len(weights) // 4
    flat = torch_or_none().tensor(weights)
    pieces = flat[: 2 * h].reshape(h, 2), flat[2 * h : 3 * h], flat[3 * h : 4 * h], flat[4 * h :]
    return [piece.clone().requires_grad_() for piece in pieces]


def torch_run(run: Run, cascade: Cascade | None) -> list[int]:
    """Train one run with autograd; cascade in line where one is given."""
    torch = torch_or_none()
    parts = torch_network(initial_weights(run))
    inputs, targets = torch.tensor(INPUTS), torch.tensor(TARGETS["xor"], dtype=torch.float64)
    sizes = []
    for _ in range(run.options.epochs + 1):
        w1, b1, w2, b2 = parts
        logit = torch.tanh(inputs @ w1.T + b1) @ w2 + b2
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, targets)
        gradients = torch.autograd.grad(loss, parts)
        if cascade is not None:
            size, values = cascade(torch.cat([g.reshape(-1) for g in gradients]).numpy())
            sizes.append(size)
            split = torch.split(torch.from_numpy(values), [g.numel() for g in gradients])
            gradients = tuple(m.reshape(g.shape) for m, g in zip(split, gradients, strict=True))
        with torch.no_grad():
            for part, g in zip(parts, gradients, strict=True):
                part -= run.options.lr * g
    return sizes


def with_networkx(n: int) -> Cascade:
    """Return the cascade of plain loops."""
    net = networkx_graph(graph("ba", n))

    def cascade(gradient: np.ndarray) -> tuple[int, np.ndarray]:
        values = dict(enumerate(gradient.tolist()))
        return networkx_cascade(net, values), np.array(list(values.values()))

    return cascade


def with_scipy(n: int) -> Cascade:
    """Return the cascade of matrix products."""
    matrix = scipy_matrix(graph("ba", n))
    return lambda gradient: (scipy_cascade(gradient, matrix), gradient)


def torch_ways(options: TrainOptions) -> list[Way]:
    """Return the peers, which need torch."""
    tasks = [Run(options, h, s) for h in options.hidden for s in range(options.seeds)]
    found = [
        Way("torch, no cascade", lambda: [torch_run(task, None) for task in tasks], warm=False)
    ]
    for name, make in (("scipy.sparse", with_scipy), ("networkx loops", with_networkx)):
        cascades = {h: make(4 * h + 1) for h in options.hidden}
        found.append(
            Way(
                f"torch + {name}",
                lambda cascades=cascades: [torch_run(task, cascades[task.width]) for task in tasks],
                warm=False,
            )
        )
    return found


def run(
    rounds: int, hidden: tuple[int, ...] = HIDDEN, seeds: int = 6, epochs: int = 500
) -> Section:
    """Time the training of every run."""
    section = Section("training")
    options = TrainOptions(hidden=hidden, seeds=seeds, epochs=epochs)
    ways = [
        Way("grokcrit, 2 threads", lambda: list(runs(options, threads=2))),
        Way("grokcrit, 1 thread", lambda: list(runs(options, threads=1))),
    ]
    if torch_or_none() is not None:
        ways += torch_ways(options)
    timed = measure(ways, rounds)
    ours = timed["grokcrit, 2 threads"]
    sizes = np.concatenate([table["size"].to_numpy() for table in ours.result])
    for name, way in timed.items():
        answer = None
        if name.startswith("grokcrit"):
            theirs = np.concatenate([table["size"].to_numpy() for table in way.result])
        else:
            theirs = np.concatenate(way.result)
        if len(theirs):
            answer, same = int(theirs.sum()), float((theirs == sizes).mean())
            least = 1.0 if name.startswith("grokcrit") else MOST
            section.check(same >= least, f"{name}: sizes equal ours in {same:.2%} of the epochs")
        work = {"work": len(sizes), "unit": "epochs"}
        section.rows.append(
            row(section.name, 4 * max(HIDDEN) + 1, way, ours, answer=answer, **work)
        )
    return section
