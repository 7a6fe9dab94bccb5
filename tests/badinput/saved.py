"""The same search over files of gradients that other programs saved.

    python -m tests.badinput.saved --mutants 5000 --seed 0

They carry no checksum of ours: a changed number is another number. What must not be is an error
that is no sentence, a crash, a hang, gigabytes, or a table that is not sound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import grokcrit
from grokcrit.base.errors import GrokcritError
from grokcrit.saved.options import IngestOptions
from grokcrit.stages import ingest
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import AVALANCHE, TRAIN, Schema
from tests.badinput.mutate import PLACE, File, Found, markdown, scan

ENTRIES = 60


def npy(path: Path, rng: np.random.Generator) -> None:
    np.save(path, rng.standard_normal(ENTRIES))


def npz(path: Path, rng: np.random.Generator) -> None:
    np.savez(
        path, w=rng.standard_normal((ENTRIES, 3)), b=rng.standard_normal(ENTRIES), n=np.int64(3)
    )


def packed(path: Path, rng: np.random.Generator) -> None:
    np.savez_compressed(path, w=rng.standard_normal((ENTRIES, 3)), b=np.zeros(ENTRIES))


def safetensors(path: Path, rng: np.random.Generator) -> None:
    from safetensors.numpy import save_file

    tensors = {"w": rng.standard_normal((ENTRIES, 3)), "b": rng.standard_normal(ENTRIES)}
    save_file({name: values.astype(np.float32) for name, values in tensors.items()}, path)


def pt(path: Path, rng: np.random.Generator) -> None:
    import torch

    torch.save({"w": torch.tensor(rng.standard_normal((ENTRIES, 3))), "b": torch.zeros(9)}, path)


def avalanches(path: Path) -> tuple[pa.Table, Schema]:
    return grokcrit.avalanche(path, threads=1), AVALANCHE


def ingested(path: Path) -> tuple[pa.Table, Schema]:
    plan = ingest.plan([path], IngestOptions())
    return pa.concat_tables(ingest.blocks(plan, threads=1)), TRAIN


Reader = Callable[[Path], tuple[pa.Table, Schema]]
# What is read, by the name of the search.
KINDS: dict[str, tuple[str, Callable[[Path, Any], None], Reader]] = {
    "avalanche x.npy": (".npy", npy, avalanches),
    "ingest x.npy": (".npy", npy, ingested),
    "ingest x.npz": (".npz", npz, ingested),
    "ingest x.npz, compressed": (".npz", packed, ingested),
    "ingest x.safetensors": (".safetensors", safetensors, ingested),
    "ingest x.pt": (".pt", pt, ingested),
}


def outcome(read: Reader, path: Path) -> str:
    """What becomes of a mutant."""
    try:
        table, schema = read(path)
        Inputs(table, schema).read()
    except GrokcritError as error:
        said = str(error)
        fine = (path.name in said or "case npy" in said) and "\n" not in said
        return "refused" if fine else f"exception: {said!r}"
    except Exception as error:
        return f"exception: {type(error).__name__}: {error}".replace("\n", " ")[:300]
    return "read"


def search(name: str, mutants: int, seed: int = 0, first: int = 0) -> Found:
    """Read many mutants of a file."""
    suffix, write, read = KINDS[name]
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        made = []
        for k in range(2):
            path = Path(place) / f"{k}{suffix}"
            write(path, np.random.default_rng(k))
            made.append(path.read_bytes())
        whole = made[0]
        # Names and shapes stand at the head, or at the end of an archive.
        parts = {
            "head": (0, min(256, len(whole))),
            "body": (0, len(whole)),
            "ends": (max(0, len(whole) - 256), len(whole)),
        }
        file = File(name, whole, made[1], parts, [(0, 8), (8, 8), (64, 8)])

        def judging() -> Callable[[Path], str]:
            if suffix == ".pt":
                import torch  # noqa: F401
            outcome(read, Path(place) / f"0{suffix}")  # what loads once is not the mutant's
            return lambda path: outcome(read, path)

        numbers = range(first, first + mutants)
        return scan(file, Path(place) / f"x{suffix}", judging, numbers, seed)


def main() -> None:
    """Search, and print what was found; exit 1 where it must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=5000, help="of every kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--only", action="append", choices=list(KINDS))
    chosen = parser.parse_args()
    results = []
    for name in chosen.only or KINDS:
        results.append(search(name, chosen.mutants, chosen.seed, chosen.first))
        for what, numbers in results[-1].bad.items():
            print(f"{name}: {what}: {len(numbers)}, {numbers[:8]}", file=sys.stderr)
    print(markdown(results))
    sys.exit(any(found.bad for found in results))


if __name__ == "__main__":
    main()
