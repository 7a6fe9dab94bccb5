"""What other programs saved, as a table: gradients, checkpoints, avalanches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike, fspath
from typing import Any

import numpy as np
import pyarrow as pa

from grokcrit.base.errors import OptionError, ShapeError, ValuesError
from grokcrit.base.parallel import Progress, Stop, in_order, thread_count
from grokcrit.base.sample import Places, Sample, size_of_sample
from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.questions.notices import warn
from grokcrit.saved.avalanches import avalanches_of
from grokcrit.saved.options import IngestOptions
from grokcrit.saved.series import Kind, Layout, Series, Snapshot, series_of
from grokcrit.saved.shards import network
from grokcrit.saved.tensor_names import quoted, some
from grokcrit.saved.tensors import Values
from grokcrit.tables import provenance
from grokcrit.tables.schemas import TRAIN
from grokcrit.tables.writing import GROUP_BYTES
from grokcrit.tasks.train_rows import RunName, record_of, rows_of, tensors_of

# A vector is one value of a Parquet page, which holds less than 2^31 bytes: 2^28 entries of single
# precision, 2^27 of double.
PAGE_BYTES = 2**30
# Bytes of vectors that all threads together may hold; one vector in any case.
HELD_BYTES = 2**28


@dataclass(frozen=True)
class Ingestion:
    """All that is known before any number is read."""

    options: IngestOptions
    series: Series
    files: tuple[str, ...]

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of every vector: float32, unless one of the tensors is double."""
        return np.dtype(np.float64 if self.series.double else np.float32)

    @cached_property
    def places(self) -> dict[Kind, Places | None]:
        """Which entries are kept, by family and size, ascending; None for all."""
        return {
            kind: sampled(self.options, kind[1], layout.entries)
            for kind, layout in self.series.layouts.items()
        }

    def n_params(self, kind: Kind) -> int:
        """Return how many entries are kept."""
        places = self.places[kind]
        return self.series.layouts[kind].entries if places is None else len(places)

    def case(self, family: str) -> str:
        """Name of a family's case."""
        return self.options.label or family

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema of the table, with its record."""
        place = TRAIN.arrow.get_field_index("gradient")
        kept = pa.field("gradient", pa.list_(pa.from_numpy_dtype(self.dtype)))
        return TRAIN.arrow.set(place, kept).with_metadata(provenance.encode(record(self)))


def ingest(
    files: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> pa.Table:
    """Make a table of gradients, of checkpoints or of avalanches that other programs saved.

    Parameters
    ----------
    files
        .npy, .npz, .safetensors or PyTorch files, a snapshot each; with ``checkpoints=True`` also
        folders of checkpoints and ``hf://org/name@revision``; with ``avalanches=True`` .csv,
        .parquet or .npy files, many avalanches each.
    threads
        How many snapshots at once; None for all cores, fewer where they are large.
    progress
        Called with (row groups done, in all).
    **options
        Fields of :class:`grokcrit.saved.options.IngestOptions`.

    Returns
    -------
    pyarrow.Table
        Schema ``train/1``; loss, accuracies and cascade are null. Of avalanches ``avalanche/1``;
        what the files do not have is null.

    Raises
    ------
    OptionError
        An option out of its range.
    TableError
        A file that cannot be read, is not finite, or does not fit the others.
    """
    several = [files] if isinstance(files, (str, PathLike)) else list(files)
    chosen = IngestOptions(**options)
    if chosen.avalanches:
        return avalanches_of([fspath(file) for file in several], chosen)
    made = plan(several, chosen)
    return pa.concat_tables(blocks(made, threads=threads, progress=progress))


def plan(files: Sequence[str | PathLike[str]], options: IngestOptions) -> Ingestion:
    """Read names and shapes; check that they agree and fit into a page."""
    paths = tuple(fspath(file) for file in files)
    series = series_of(paths, options)
    families = sorted({family for family, _ in series.layouts})
    if options.label is not None and len(families) > 1:
        raise OptionError(
            "label", f"names one case, and there are several families: {', '.join(families)}"
        )
    made = Ingestion(options, series, paths)
    for kind, layout in series.layouts.items():
        n = made.n_params(kind)
        if n * made.dtype.itemsize > PAGE_BYTES:
            raise ShapeError(
                f"{layout.path} has {n} entries to keep, a Parquet page holds "
                f"{PAGE_BYTES // made.dtype.itemsize} of {made.dtype}; take some of them with "
                "--sample, or save the vector alone and run 'grokcrit avalanche x.npy'"
            )
    return made


def sampled(options: IngestOptions, size: int, entries: int) -> Places | None:
    """Choose which entries of a size's vectors are kept: by root seed, size and length alone."""
    if options.sample is None:
        return None
    count = size_of_sample(options.sample, entries)
    return None if count == entries else Sample(options.seed, size, entries, count).places(0, count)


def record(made: Ingestion) -> provenance.Record:
    """Make the record: the case knows what all sizes share, so that tables can be read together."""
    options, layouts = made.options, made.series.layouts
    shared = {
        "source": "checkpoints" if options.checkpoints else "vectors",
        "field": options.field,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "sample": options.sample,
        "sample_seed": None if options.sample is None else options.seed,
    }
    if options.control is not None:
        shared["control"] = options.control
    widths: dict[str, list[dict[str, Any]]] = {}
    contested = set()
    for (family, size), layout in layouts.items():
        mine = kept_tensors(layout, made.places[family, size])
        if widths.setdefault(str(size), mine) != mine:
            contested.add(str(size))  # two families, one size, other tensors: neither is known
    widths = {size: widths[size] for size in widths if size not in contested}
    cases = sorted({made.case(family) for family, _ in layouts})
    found = record_of(cases[0], widths, shared, seed=options.seed)
    found["cases"] = dict.fromkeys(cases, found["cases"][cases[0]])
    chosen = {k: v for k, v in asdict(options).items() if k not in shared}
    found["configuration"] |= chosen | {"files": list(made.files)}
    found["configuration"]["left_out"] = made.series.names_left_out
    found["configuration"]["sampled"] = {
        f"{family}, {size}": {"of": layout.entries, "kept": made.n_params((family, size))}
        for (family, size), layout in layouts.items()
        if made.places[family, size] is not None
    }
    return found


def kept_tensors(layout: Layout, places: Places | None) -> list[dict[str, Any]]:
    """Name, shape and offset of each tensor; of a sample, how many entries of each there are."""
    if places is None:
        return tensors_of([(name, tensor.shape) for name, tensor in layout.tensors.items()])
    lengths = [tensor.entries for tensor in layout.tensors.values()]
    ends = np.searchsorted(places, np.cumsum(lengths))
    counts = np.diff(ends, prepend=0).tolist()
    return tensors_of([(name, [k]) for name, k in zip(layout.tensors, counts, strict=True) if k])


def blocks(
    made: Ingestion, *, threads: int | None = None, progress: Progress | None = None
) -> Iterator[pa.Table]:
    """Read every snapshot; yield tables of a few of one run, by family, size, seed and step."""
    tasks = list(grouped(made))
    largest = max(made.n_params(kind) for kind in made.series.layouts) * made.dtype.itemsize
    return in_order(
        lambda task, stop: block_of(made, task, stop),
        tasks,
        cost=lambda task: made.n_params(task[0].kind) * len(task),
        size=lambda task: made.n_params(task[0].kind) * len(task) * made.dtype.itemsize,
        threads=min(thread_count(threads), max(1, HELD_BYTES // largest)),
        progress=progress,
    )


def grouped(made: Ingestion) -> Iterator[list[Snapshot]]:
    """Yield the snapshots of a run, as many at once as make a row group."""
    held: list[Snapshot] = []
    for each in made.series.snapshots:
        room = GROUP_BYTES // (made.n_params(each.kind) * made.dtype.itemsize)
        if held and (held[0].run != each.run or len(held) >= room):
            yield held
            held = []
        held.append(each)
    yield held


def block_of(made: Ingestion, task: list[Snapshot], stop: Stop) -> pa.Table:
    """Read a few snapshots of one run into rows of the train table."""
    first = task[0]
    n, count = made.n_params(first.kind), len(task)
    vectors = np.empty((count, n), made.dtype)
    for snapshot, vector in zip(task, vectors, strict=True):
        read_vector(made, snapshot, vector, stop)
    name = RunName(
        first.family,
        made.case(first.family),
        str(made.options.field),
        first.size,
        n,
        first.seed,
    )
    rows = rows_of(name, [each.step for each in task], vectors, np.ones(count, np.bool_), {})
    return rows.replace_schema_metadata(made.schema.metadata)


def read_vector(made: Ingestion, snapshot: Snapshot, vector: Values, stop: Stop) -> None:
    """Fill a vector tensor by tensor: from one file, or later minus earlier, matched by name."""
    layout, places = made.series.layouts[snapshot.kind], made.places[snapshot.kind]
    with ExitStack() as stack:
        where = made.options.key, made.options.strip
        later = stack.enter_context(network(snapshot.path, *where))
        earlier = None
        if snapshot.earlier:
            earlier = stack.enter_context(network(snapshot.earlier, *where))
        offset = filled = 0
        for name, tensor in layout.tensors.items():
            stop.check()
            within = None
            count = tensor.entries
            if places is not None:
                low, high = np.searchsorted(places, [offset, offset + tensor.entries])
                within, count = places[low:high] - offset, int(high - low)
            offset += tensor.entries
            if not count:
                continue
            part = vector[filled : filled + count]
            part[:] = later.values(name, within)
            if earlier is not None:
                with np.errstate(over="ignore"):
                    part -= earlier.values(name, within)
                if not np.isfinite(part).all():
                    raise ValuesError(
                        f"{snapshot.path} minus {snapshot.earlier}: tensor '{name}' overflows "
                        f"{vector.dtype}; leave it out with --exclude "
                        f"{quoted(name)}"
                    )
            filled += count


def ingest_summary(plan: Ingestion) -> Summary:
    """Sum up a table made of saved files: a row per family and size."""
    snapshots = plan.series.snapshots
    rows: list[Row] = []
    for kind in sorted(plan.series.layouts):
        mine = [each for each in snapshots if each.kind == kind]
        entries, n = plan.series.layouts[kind].entries, plan.n_params(kind)
        rows.append(
            {
                "family": kind[0],
                "size": kind[1],
                "n_params": n,
                **({"of": entries} if plan.options.sample is not None else {}),
                "runs": len({each.run for each in mine}),
                "snapshots": len(mine),
                "steps": (min(each.step for each in mine), max(each.step for each in mine)),
                "field": plan.options.field,
            }
        )
    total, runs = len(snapshots), len({each.run for each in snapshots})
    title = f"{total} snapshot{'s' * (total > 1)} of {runs} run{'s' * (runs > 1)}"
    return Summary(title, rows, warnings(plan, rows))


def warnings(plan: Ingestion, rows: Sequence[Row]) -> list[Notice]:
    """Say what was left out, and what will keep a fit from being made."""
    series = plan.series
    kinds = [f"{name} ({kind})" for name, kind in series.left_out.items()]
    found = warn("not-floating", some(kinds), names=tuple(series.left_out))
    found += warn("no-match", some(sorted(series.idle)))
    for reason in ("buffers", "unchanging", "empty", "tied"):
        names = series.names_left_out.get(reason, [])
        found += warn(reason, some(names), names=tuple(names))
    if series.disordered:
        found += warn("order", *series.disordered[0])
    for family in dict.fromkeys(row["family"] for row in rows):
        mine = [row for row in rows if row["family"] == family]
        lengths = {row["n_params"] for row in mine}
        if len(mine) >= MINIMUM_SIZES > len(lengths):
            name = "equal-samples" if isinstance(plan.options.sample, int) else "equal-sizes"
            found += warn(name, len(mine), family, len(lengths), MINIMUM_SIZES)
    return found
