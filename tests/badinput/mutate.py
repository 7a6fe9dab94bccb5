"""A search for what damaged bytes can do: many mutants of a table's file, each one read.

    python -m tests.badinput.mutate --mutants 100000 --seed 0

A mutant is named by its table, seed and number: `--only TABLE --first N --keep x.parquet` makes it
again. Mutants are read in a child process, so that one that kills or stops its reader is counted
and the search goes on.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from grokcrit.base.errors import GrokcritError
from grokcrit.tables import seals
from grokcrit.tables.reading import Inputs, open_parquet
from grokcrit.tasks.swept import TABLES
from tests.badinput.samples import samples, save

# Seconds a mutant may take in each that reads it, bytes by which it may enlarge its reader, and the
# addresses given out beyond those that the reader holds before.
PATIENCE = 20
GROWTH = 2**28
ADDRESSES = 2**32
# A folder in memory where there is one: mutants are written by the hundred thousand.
PLACE = "/dev/shm" if Path("/dev/shm").is_dir() else None

FATAL = ("wrong", "record", "crash", "hang", "memory", "exception")


# --- mutants ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """The bytes of a table, and where its parts are."""

    stage: str
    whole: bytes
    donor: bytes
    parts: dict[str, tuple[int, int]]
    chunks: list[tuple[int, int]]


def unsealed(whole: bytes) -> bytes:
    """A file without a seal, as one that another program has written anew."""
    found = whole.rindex(seals.MARK)
    whole = whole[:found] + bytes(len(seals.MARK)) + whole[found + len(seals.MARK) :]
    return seals.SEAL.sub(lambda found: b"-" * len(found[0]), whole)


def file_of(stage: str, folder: Path, sealed: bool) -> File:
    """Write the sample of a stage; its donor is a table of equal shape and other numbers."""
    table = samples()[stage]
    path = save(stage, table, folder / f"{stage}.parquet")
    donor = save(stage, table.take(list(range(table.num_rows))[::-1]), folder / "donor.parquet")
    whole, other = path.read_bytes(), donor.read_bytes()
    if not sealed:  # as if another program had written it: the seal then says nothing
        whole = unsealed(whole)
        other = unsealed(other)
    start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    record, arrow = whole.index(b"grokcrit", start), whole.index(b"ARROW:schema", start)
    low, high = sorted((record, arrow))
    parts = {
        "pages": (4, start),
        "footer": (start, low),
        "record": (record, high if record == low else len(whole) - 8),
        "schema": (arrow, high if arrow == low else len(whole) - 8),
        "ends": (len(whole) - 8, len(whole)),
    }
    footer = open_parquet(path)[0]
    chunks = [
        (min(filter(None, (c.dictionary_page_offset, c.data_page_offset))), c.total_compressed_size)
        for g in range(footer.num_row_groups)
        for c in map(footer.row_group(g).column, range(footer.num_columns))
    ]
    return File(stage, whole, other, parts, chunks)


# How often each part is hit: of a table, and of files of other kinds.
WEIGHTS = {"pages": 40, "footer": 30, "record": 12, "schema": 12, "ends": 6, "head": 50, "body": 50}
TELLING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)

Kind = Callable[[random.Random, bytes, int, int, File], bytes]


def flip_bit(rng: random.Random, whole: bytes, place: int, _length: int, _file: File) -> bytes:
    return whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]


def change_byte(rng: random.Random, whole: bytes, place: int, _length: int, _file: File) -> bytes:
    new = rng.choice(TELLING) if rng.random() < 0.5 else rng.randrange(256)
    return whole[:place] + bytes([new]) + whole[place + 1 :]


def nudge(rng: random.Random, whole: bytes, place: int, _length: int, _file: File) -> bytes:
    """A count or an offset that is a little more or less: varints go in steps of two."""
    new = (whole[place] + rng.choice((-2, -1, 1, 2))) % 256
    return whole[:place] + bytes([new]) + whole[place + 1 :]


def several(rng: random.Random, whole: bytes, place: int, length: int, file: File) -> bytes:
    for _ in range(rng.randint(2, 6)):
        whole = change_byte(rng, whole, min(place + rng.randrange(64), len(whole) - 1), 1, file)
    return whole


def overwrite(rng: random.Random, whole: bytes, place: int, length: int, _file: File) -> bytes:
    new = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return whole[:place] + new + whole[place + length :]


def delete(_rng: random.Random, whole: bytes, place: int, length: int, _file: File) -> bytes:
    return whole[:place] + whole[place + length :]


def insert(rng: random.Random, whole: bytes, place: int, length: int, _file: File) -> bytes:
    return whole[:place] + rng.choice((bytes(length), rng.randbytes(length))) + whole[place:]


def duplicate(rng: random.Random, whole: bytes, place: int, length: int, _file: File) -> bytes:
    """A run twice: put in between, or over what follows."""
    piece = whole[place : place + length]
    return whole[: place + length] + piece + whole[place + length * rng.randint(1, 2) :]


def move(rng: random.Random, whole: bytes, place: int, length: int, _file: File) -> bytes:
    """A run in the place of another, as a disk does that writes a block to the wrong address."""
    other = rng.randrange(max(1, len(whole) - length))
    piece = whole[other : other + length]
    return whole[:place] + piece + whole[place + len(piece) :]


def cut(rng: random.Random, whole: bytes, place: int, _length: int, _file: File) -> bytes:
    return whole[:place] if rng.random() < 0.7 else whole[: -rng.randint(1, 64)]


def splice(rng: random.Random, whole: bytes, place: int, length: int, file: File) -> bytes:
    """The head of another table and the tail of this, as a copy that was interrupted leaves it."""
    kind = rng.randrange(3)
    if kind == 0:
        return file.donor[:place] + whole[place:]
    if kind == 1:
        return whole[:place] + file.donor[place : place + length] + whole[place + length :]
    return whole[:place] + file.donor[place:]


def exchange(rng: random.Random, whole: bytes, _place: int, _length: int, file: File) -> bytes:
    """A column chunk of this table or of another in the place of one of about equal length."""
    start, length = rng.choice(file.chunks)
    alike = [c for c in file.chunks if abs(c[1] - length) <= 2 and c[0] != start]
    other, size = rng.choice(alike or file.chunks)
    source = file.donor if rng.random() < 0.5 else whole
    return whole[:start] + source[other : other + size] + whole[start + size :]


KINDS: dict[str, tuple[Kind, int]] = {
    "bit": (flip_bit, 20),
    "byte": (change_byte, 20),
    "nudge": (nudge, 10),
    "several": (several, 8),
    "overwrite": (overwrite, 8),
    "delete": (delete, 6),
    "insert": (insert, 6),
    "duplicate": (duplicate, 6),
    "move": (move, 5),
    "cut": (cut, 3),
    "splice": (splice, 5),
    "exchange": (exchange, 3),
}


def mutant(file: File, seed: int, number: int) -> tuple[str, str, bytes]:
    """The part that was hit, how, and the bytes."""
    rng = random.Random(f"{seed} {file.stage} {number}")
    part = rng.choices(list(file.parts), [WEIGHTS[part] for part in file.parts])[0]
    kind = rng.choices(list(KINDS), [weight for _, weight in KINDS.values()])[0]
    low, high = file.parts[part]
    place = rng.randrange(low, high)
    length = min(rng.choice((1, 2, 4, 8, 16, 64, 512, 4096)), len(file.whole) - place)
    made = KINDS[kind][0](rng, file.whole, place, length, file)
    # The other table as a whole is not damaged; it is another table.
    return part, kind, file.whole if made == file.donor else made


# --- what becomes of one ----------------------------------------------------------------------

# Which check refused it, by words of its sentence; the first that fits.
CHECKS = {
    "is empty": "empty",
    "footer is not the one": "footer's seal",
    "were written": "file's length",
    "is not the one that was written": "column's sum",
    "promises": "rows promised",
    "CRC": "page checksum",
    "record is damaged": "record",
    "not a readable Parquet": "Parquet reader",
    "has schema": "version",
    "of stage": "stage",
    "lacks the column": "columns",
    "more than one column": "columns",
    "has type": "types",
    "no rows": "no rows",
    "times among": "same row twice",
    "is null in": "values",
    "it must be": "values",
}


def check_of(message: str) -> str:
    return next((name for words, name in CHECKS.items() if words in message), "others")


class Judge:
    """Reads mutants of one table and says what became of each."""

    def __init__(self, stage: str, path: Path, through: Callable[[str, Path], None] | None) -> None:
        self.schema, self.stage, self.through = TABLES[stage], stage, through
        self.table, self.records = self.read(path)

    def read(self, path: Path) -> tuple[pa.Table, list[object]]:
        inputs = Inputs(path, self.schema)
        return inputs.read(), inputs.records

    def outcome(self, path: Path) -> str:
        try:
            table, records = self.read(path)
        except GrokcritError as error:
            said = str(error)
            if str(path) not in said and "times among" not in said or "\n" in said:
                return f"exception: a sentence without its file, or of two lines: {said!r}"
            return f"refused: {check_of(said)}"
        except Exception as error:
            return f"exception: {type(error).__name__}: {error}".replace("\n", " ")[:300]
        if self.through and not (table.equals(self.table) and records == self.records):
            try:
                self.through(self.stage, path)
            except GrokcritError:
                pass
            except Exception as error:
                return f"exception: later: {type(error).__name__}: {error}".replace("\n", " ")[:300]
        if not table.equals(self.table):
            return "wrong"
        return "identical" if records == self.records else "record"


# --- the search -------------------------------------------------------------------------------


@dataclass
class Found:
    """What became of the mutants of one table."""

    stage: str
    outcomes: Counter[str] = field(default_factory=Counter)
    parts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    grown: int = 0

    def add(self, number: int, part: str, outcome: str) -> None:
        kind = outcome.partition(":")[0]
        self.outcomes[outcome if kind == "refused" else kind] += 1
        self.parts[part, kind] += 1
        if kind in FATAL:
            self.examples.setdefault(outcome, []).append(number)

    @property
    def bad(self) -> dict[str, list[int]]:
        """Outcomes that must not be, with the numbers of their mutants."""
        return self.examples


def worker(
    file: File,
    numbers: range,
    seed: int,
    copy: Path,
    pipe: int,
    judging: Callable[[], Callable[[Path], str]],
) -> None:
    """Read mutants until there are no more; a line for each, begun before it is read."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    judge = judging()
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ADDRESSES, held + ADDRESSES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with os.fdopen(pipe, "w", closefd=False) as out:
        for number in numbers:
            part, _, content = mutant(file, seed, number)
            copy.write_bytes(content)
            print(number, part, end="\t", file=out, flush=True)
            signal.alarm(PATIENCE)
            outcome = judge(copy)
            signal.alarm(0)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
            if grown > GROWTH:
                outcome = f"memory: {grown / 2**20:.0f} MiB"
            print(outcome, grown, sep="\t", file=out, flush=True)
            if grown > GROWTH:  # a new worker measures anew
                break


def in_a_child(work: Callable[[int], None]) -> tuple[list[str], int]:
    """Run ``work`` in a forked child: the lines that it wrote into its pipe, and how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(writing)
        except BaseException as error:  # noqa: BLE001
            os.write(writing, f"\n! {type(error).__name__}: {error}\n".encode())
            os._exit(1)
        finally:  # never back into the code of the parent
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = [line.strip() for line in told]
    return [line for line in lines if line], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def search(
    stage: str,
    mutants: int,
    seed: int = 0,
    first: int = 0,
    sealed: bool = True,
    through: bool = False,
) -> Found:
    """Read many mutants of a table.

    Parameters
    ----------
    sealed
        Whether the file's seal stands; without it Parquet's checks and grokcrit's own are left.
    through
        Whether mutants that are read as something else go through the stages, too.
    """
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        file = file_of(stage, Path(place), sealed)
        source = Path(place) / "source.parquet"
        source.write_bytes(file.whole)

        def judging() -> Callable[[Path], str]:
            return Judge(stage, source, all_readers() if through else None).outcome

        return scan(file, Path(place) / "x.parquet", judging, range(first, first + mutants), seed)


def all_readers() -> Callable[[str, Path], None]:
    """Return what runs every command and figure that takes a table, each with its own patience."""
    from tests.badinput.stages import readers, run

    def later(stage: str, path: Path) -> None:
        with tempfile.TemporaryDirectory() as out:
            for reader in readers(stage):
                signal.alarm(PATIENCE)
                run(reader, stage, path, Path(out))

    return later


def scan(
    file: File,
    copy: Path,
    judging: Callable[[], Callable[[Path], str]],
    numbers: range,
    seed: int,
) -> Found:
    """Read mutants of a file, each written to ``copy``, by what ``judging`` makes in the child."""
    found, began = Found(file.stage), time.perf_counter()
    while numbers:
        begun = None

        def work(pipe: int, numbers: range = numbers) -> None:
            worker(file, numbers, seed, copy, pipe, judging)

        lines, status = in_a_child(work)
        for line in lines:
            if line.startswith("! "):
                raise RuntimeError(line)
            head, _, rest = line.partition("\t")
            number, part = head.split(" ")
            begun = int(number), part
            if rest:
                outcome, grown = rest.rsplit("\t", 1)
                found.add(*begun, outcome)
                found.grown = max(found.grown, int(grown))
                numbers, begun = range(begun[0] + 1, numbers.stop), None
        if begun is not None:  # it died of this one
            hung = status == -signal.SIGALRM
            found.add(*begun, "hang" if hung else f"crash: {status}")
            numbers = range(begun[0] + 1, numbers.stop)
        elif status:
            raise RuntimeError(f"the reader died between two mutants: {status}")
    found.seconds = time.perf_counter() - began
    return found


def markdown(results: list[Found]) -> str:
    """The counts as a table: a row a table, a column an outcome."""
    names = sorted({name for each in results for name in each.outcomes})
    lines = [
        "| table | mutants | " + " | ".join(names) + " | most memory, MiB | seconds |",
        "|---" * (len(names) + 4) + "|",
    ]
    for each in results:
        counts = " | ".join(f"{each.outcomes[name]:,}" for name in names)
        total = each.outcomes.total()
        lines.append(
            f"| {each.stage} | {total:,} | {counts} | {each.grown / 2**20:.0f} | "
            f"{each.seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Search, and print what was found; exit 1 where it must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000, help="of every table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--only", action="append", choices=list(TABLES))
    parser.add_argument("--unsealed", action="store_true", help="the seal says nothing")
    parser.add_argument("--through", action="store_true", help="changed ones through the stages")
    parser.add_argument("--keep", type=Path, help="write the first mutant here and stop")
    chosen = parser.parse_args()
    sealed = not chosen.unsealed
    results = []
    for stage in chosen.only or TABLES:
        if chosen.keep:
            with tempfile.TemporaryDirectory() as folder:
                file = file_of(stage, Path(folder), sealed)
            part, kind, content = mutant(file, chosen.seed, chosen.first)
            chosen.keep.write_bytes(content)
            print(f"{stage} {chosen.first}: {kind} in {part}")
            continue
        found = search(stage, chosen.mutants, chosen.seed, chosen.first, sealed, chosen.through)
        results.append(found)
        print(f"{stage}: {dict(found.outcomes)}, {found.seconds:.0f} s", file=sys.stderr)
        for outcome, numbers in found.bad.items():
            print(f"  {outcome}: {len(numbers)}, {numbers[:8]}", file=sys.stderr)
        print(json.dumps({f"{p}, {k}": n for (p, k), n in found.parts.items()}), file=sys.stderr)
    print(markdown(results))
    sys.exit(any(found.bad for found in results) and sealed)


if __name__ == "__main__":
    main()
