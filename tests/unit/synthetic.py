"""Avalanche tables made by hand: small, and with everything in them that can be awkward."""

import numpy as np
import pyarrow as pa

from grokcrit.tables.schemas import AVALANCHE

CASE = {
    "task": "xor",
    "case": "made",
    "field": "gradient",
    "topology": "ba",
    "degree": 6,
    "graph_seed": 0,
    "surrogate": "none",
    "replicate": 0,
    "alpha": 0.3,
    "quantile": 90.0,
    "rule": "diffuse",
}


def row(width, seed, epoch, activity, grok=None, truncated=False, **case):
    """One avalanche; everything that follows from its activity is filled in."""
    activity = [int(a) for a in activity]
    return {
        **CASE,
        **case,
        "width": width,
        "n_params": 4 * width + 1,
        "seed": seed,
        "epoch": epoch,
        "grok_epoch": grok,
        "threshold": 0.5,
        "size": sum(activity),
        "area": max(activity, default=0) + len(activity) // 2,
        "duration": len(activity),
        "peak": max(activity, default=0),
        "truncated": truncated,
        "activity": activity,
        "transported": 0.01 * sum(a * (k + 1) for k, a in enumerate(activity)),
    }


def table(rows):
    return pa.Table.from_pylist(list(map(summing, rows)), AVALANCHE.arrow)


def summing(row):
    """A row whose size a test has set: all of it topples in the first step."""
    if row["activity"] is None or sum(row["activity"]) == row["size"]:
        return row
    steps = max(row["duration"], 1)
    return {**row, "duration": steps, "activity": [row["size"]] + [0] * (steps - 1)}


def random_rows(seed, widths=(3, 5, 9, 14, 30), runs=4, **case):
    """Runs that grok early, late and never; quiet and truncated avalanches; snapshots missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in widths:
        for run in rng.permutation(9)[: rng.integers(1, runs + 1)].tolist():
            grok = None if rng.random() < 0.25 else int(rng.integers(0, 90))
            for epoch in range(0, 100, 10):
                if rng.random() < 0.15:
                    continue
                steps = 0 if rng.random() < 0.2 else int(rng.integers(1, 5))
                activity = rng.integers(1, 5 + width, size=steps)
                rows.append(row(width, run, epoch, activity, grok, steps == 4, **case))
    return rows


def regular_rows(seed, widths=(3, 5, 9, 14, 30), runs=4, **case):
    """Every run groks in the middle and has every snapshot: no window lacks anything."""
    rng = np.random.default_rng(seed)
    return [
        row(width, run, epoch, rng.integers(1, 5 + width, size=rng.integers(1, 5)), 35, **case)
        for width in widths
        for run in range(runs)
        for epoch in range(0, 100, 10)
    ]
