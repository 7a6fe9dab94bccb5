"""Avalanches of another program: sizes of critical branching, cut off by the size of the system."""

import numpy as np
import pyarrow as pa

SIZES, RUNS, EACH = (16, 64, 256, 1024), 3, 60


def branching(rng, n):
    """Size of one avalanche: a Galton-Watson tree with two children or none, of n nodes at most."""
    alive, size = 1, 0
    while alive and size < n:
        alive += 1 if rng.random() < 0.5 else -1
        size += 1
    return size


def bare(seed=0, sizes=SIZES, runs=RUNS, each=EACH):
    """Nothing but the system's size, the run and the avalanche's size, the runs mixed."""
    rng = np.random.default_rng(seed)
    rows = [
        {"n_params": n, "seed": run, "size": branching(rng, n)}
        for n in sizes
        for run in range(runs)
        for _ in range(each)
    ]
    return pa.Table.from_pylist([rows[k] for k in rng.permutation(len(rows))])


def numbered(rows):
    """How many avalanches of its run came before each, by a plain count."""
    seen, places = {}, []
    for row in rows:
        key = row["n_params"], row["seed"]
        places.append(seen.get(key, 0))
        seen[key] = places[-1] + 1
    return places
