"""The cascade where the gradient lies: in torch operations, on graphs whose links are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from grokcrit.cascades.counting import COPIED, Counted, Setup, surrogates_of
from grokcrit.kernels import types as kt
from grokcrit.kernels.neighbours import LATTICE, RING, STORED
from grokcrit.live.cascading import Cascades, is_blind, is_data

# Nodes whose pushes are delivered at once: at degree 6 their targets and amounts take 1.2 GB.
CHUNK = 2**24


def can_run(cascades: Cascades, n: int) -> bool:
    """Return whether all cascades can run on the device without a copy of the vector elsewhere."""
    return all(
        (is_data(each) or is_blind(each)) and cascades.graph(each, n).network.kind != STORED
        for each in cascades.setups
    )


def run(cascades: Cascades, vector: torch.Tensor, row: pa.Table) -> list[Counted]:
    """Return what each setup counts of one finite vector (n,), which is overwritten.

    The data stay on the device. Null models are drawn in main memory, as everywhere, and copied.
    """
    found = []
    for setup, overwrites in cascades.overwriting():
        values = vector
        if is_data(setup) and not overwrites:
            values = vector.clone()
        elif not is_data(setup):
            drawn = np.empty((1, len(vector)), kind_of(vector))
            surrogates_of(drawn, row, setup, [0], cascades.root_seed, drawn)
            values.copy_(torch.from_numpy(drawn[0]))
        found.append(counted(values, row, setup, cascades.graph(setup, len(vector)).network))
    return found


def counted(values: torch.Tensor, row: pa.Table, setup: Setup, network: kt.Network) -> Counted:
    """Return the counts of one cascade as those of the kernels are returned."""
    c, activity = cascade(values, network, setup.cascade)
    return Counted(
        row.select(COPIED),
        setup,
        np.array([c.threshold], np.float64),
        np.array([[c.size, c.area, c.duration, c.peak]], np.int64),
        np.array([c.truncated]),
        np.array([c.transported], np.float64),
        np.array(activity, np.int64),
        None,
    )


def cascade(
    gradient: torch.Tensor, network: kt.Network, settings: Any
) -> tuple[kt.Counts, list[int]]:
    """Run the cascade of a finite gradient (n,), which is overwritten; return counts and activity.

    The same as ``kernels.cascade.cascade``, but for the order in which what a node receives is
    added up: on a GPU that varies, so that a node within rounding of theta may topple or not.
    """
    n = len(gradient)
    rule = kt.rule(n, kind_of(gradient), settings)
    theta = threshold(gradient, rule)
    toppled = torch.zeros(n, dtype=torch.bool, device=gradient.device)
    activity: list[int] = []
    transported, truncated = 0.0, False
    while True:
        active = torch.nonzero(gradient.abs() > theta).view(-1)
        if not len(active):
            break
        if len(activity) == rule.max_steps:
            truncated = True
            break
        activity.append(len(active))
        toppled[active] = True
        held = gradient[active]
        # All is taken before anything is delivered: nodes send what they held at first.
        degree = torch.cat([neighbours(part, network)[1].sum(1) for part in active.split(CHUNK)])
        linked = degree > 0
        sent = held * float(rule.alpha)
        transported += float(sent[linked].abs().sum(dtype=torch.float64))
        kept = torch.zeros_like(held) if rule.reset else held * float(rule.keep)
        if not rule.reset and network.isolated:
            kept = torch.where(linked, kept, held)
        gradient[active] = kept
        shares = sent / degree
        for part, share in zip(active.split(CHUNK), shares.split(CHUNK), strict=True):
            targets, there = neighbours(part, network)
            amounts = share[:, None].expand(-1, targets.shape[1])
            gradient.index_add_(0, targets[there], amounts[there])
    size = sum(activity)
    area, peak = int(toppled.sum()), max(activity, default=0)
    return (
        kt.Counts(True, theta, size, area, len(activity), peak, truncated, transported),
        activity,
    )


def kind_of(tensor: torch.Tensor) -> np.dtype[Any]:
    """Return the type that numpy has for a tensor's entries."""
    return np.dtype(str(tensor.dtype).removeprefix("torch."))


def threshold(gradient: torch.Tensor, rule: kt.Rule) -> float:
    """Return theta, equal to numpy.percentile of the magnitudes to the bit."""
    n, rank, weight = len(gradient), rule.rank, rule.weight
    if rule.nonzero:
        count = int(torch.count_nonzero(gradient))
        position = (count - 1) * rule.share
        rank = n - count + int(position) if count else n - 1
        weight = position - int(position) if count else 0.0
    magnitude = gradient.abs()
    low = magnitude.kthvalue(rank + 1).values.item()
    high = magnitude.kthvalue(min(rank + 2, n)).values.item()
    scalar: Any = kind_of(gradient).type
    low, difference = scalar(low), scalar(high) - scalar(low)
    if weight >= 0.5:  # from the nearer end, as numpy does
        return float(scalar(high) - difference * scalar(1 - weight))
    return float(low + difference * scalar(weight))


def neighbours(nodes: torch.Tensor, network: kt.Network) -> tuple[torch.Tensor, torch.Tensor]:
    """Return neighbours (nodes, most) in the order of the kernels, and which of them there are."""
    settings = [int(each) for each in network.settings]
    n = settings[0]
    if network.kind == RING:
        steps = [s for k in range(1, settings[1] + 1) for s in (-k, k)]
        targets = [(nodes + step) % n for step in steps]
        there = [torch.ones_like(nodes, dtype=torch.bool)] * len(targets)
    elif network.kind == LATTICE:
        side = settings[1]
        column = nodes % side
        targets = [nodes - side, nodes - 1, nodes + 1, nodes + side]
        there = [
            nodes >= side,
            column > 0,
            (column < side - 1) & (nodes + 1 < n),
            nodes + side < n,
        ]
    else:
        targets, there = [], []
        for a, b in zip(settings[1::2], settings[2::2], strict=True):
            target = (nodes * a + b) % n
            new = target != nodes
            for earlier in targets:
                new = new & (target != earlier)
            targets.append(target)
            there.append(new)
    if not targets:
        empty = torch.empty((len(nodes), 0), dtype=torch.int64, device=nodes.device)
        return empty, empty.bool()
    return torch.stack(targets, 1), torch.stack(there, 1)
