"""Independent random streams, each named by what it is for."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(purpose: str, *key: int | str) -> np.random.Generator:
    """Return the generator that belongs to a purpose and a key, and to nothing else.

    The key is what tells one use from another: root seed (first), width, seed, epoch, ...
    """
    plain = [part if isinstance(part, str) else int(part) for part in key]
    digest = hashlib.sha256(repr((purpose, *plain)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
