"""Write sizes of critical branching processes, each cut off at the size of its system, as CSV.

    python pile.py pile.csv

A node has two children or none, with equal chance, and a tree ends when L nodes are born: the mean
size grows as L^(1/2). It stands for any simulation that writes a line per avalanche.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path


def tree(rng: random.Random, limit: int) -> int:
    """Grow one tree and count its nodes."""
    alive, size = 1, 0
    while alive and size < limit:
        alive += rng.choice((-1, 1))
        size += 1
    return size


with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
    file.write("L,seed,S\n")
    for length in (64, 128, 256, 512, 1024):
        for seed in range(6):
            rng = random.Random(1000 * length + seed)
            file.writelines(f"{length},{seed},{tree(rng, length)}\n" for _ in range(1000))
