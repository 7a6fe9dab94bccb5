"""Saved files as series of snapshots: whose each is, when, and that all of a size fit together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any, TypeAlias

from grokcrit.base.errors import EmptyError, OptionError, RepeatedError, ShapeError, TableError
from grokcrit.base.options import INT32_MAX
from grokcrit.saved.checkpoints import Checkpoint, checkpoints_of
from grokcrit.saved.names import FileName, full, matcher, read_name, step_in
from grokcrit.saved.options import IngestOptions
from grokcrit.saved.shards import changed, network
from grokcrit.saved.tensor_names import buffers_among, chosen, layer_mates, matched, quoted
from grokcrit.saved.tensors import Saved, Tensor
from grokcrit.saved.torch import FLAT

FAMILY = "given"
# A family's networks of one size: they have the same tensors.
Kind: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Layout:
    """Which tensors make the vector of a size, in this order: as its first file has them."""

    path: str
    tensors: dict[str, Tensor]

    @property
    def entries(self) -> int:
        """Length of the vector."""
        return sum(tensor.entries for tensor in self.tensors.values())

    @property
    def doubles(self) -> set[str]:
        """Return the tensors that are in double precision."""
        return {name for name, tensor in self.tensors.items() if tensor.kind == "float64"}


@dataclass(frozen=True)
class Snapshot:
    """One row to be: a file, and of checkpoints the one before it."""

    family: str
    size: int
    seed: int
    step: int
    path: str
    earlier: str | None = None

    @property
    def kind(self) -> Kind:
        """Its family and size."""
        return self.family, self.size

    @property
    def run(self) -> tuple[str, int, int]:
        """The columns that name its run."""
        return self.family, self.size, self.seed


@dataclass
class Series:
    """The files as runs, before any number in them is read."""

    snapshots: list[Snapshot] = field(default_factory=list)
    layouts: dict[Kind, Layout] = field(default_factory=dict)
    doubles: set[str] = field(default_factory=set)  # in some file; also of tensors left out since
    left_out: dict[str, str] = field(default_factory=dict)  # whole numbers: tensor, and its type
    buffers: dict[str, None] = field(default_factory=dict)  # known by their names; in their order
    unchanging: dict[str, None] = field(default_factory=dict)
    empty: dict[str, None] = field(default_factory=dict)
    tied: dict[str, None] = field(default_factory=dict)  # further names of a tensor that is kept
    idle: set[str] = field(default_factory=set)  # patterns that no name matches
    asked: set[str] = field(default_factory=set)  # tensors that are kept because they are named
    disordered: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names_left_out(self) -> dict[str, list[str]]:
        """Return the tensors that are not in the vectors though they were asked for, by reason."""
        found = {
            "not-floating": list(self.left_out),
            "buffers": list(self.buffers),
            "unchanging": list(self.unchanging),
            "empty": list(self.empty),
            "tied": list(self.tied),
        }
        return {reason: names for reason, names in found.items() if names}

    @property
    def double(self) -> bool:
        """Return whether it takes double precision to hold the vectors."""
        return any(self.doubles & set(layout.tensors) for layout in self.layouts.values())


def series_of(paths: Sequence[str], options: IngestOptions) -> Series:
    """Read names and shapes of every file, and check that they fit; put the snapshots in order."""
    if not paths:
        raise OptionError("FILES", "needs at least one file")
    pattern = None if options.pattern is None else matcher(options.pattern)
    in_pattern = pattern.groupindex if pattern else {}
    given = checkpoints_of(paths, options.checkpoints, partial(is_timed, options, pattern))
    found, places = Series(idle={*options.include, *options.exclude}), Counter[Any]()
    sizes: dict[tuple[str, str | None], int] = {}
    for each in given:
        name = FileName()
        if pattern is not None:
            name = read_name(each.place, pattern, str(options.pattern))
        with network(each.path, options.key, options.strip) as saved:
            layout = layout_of(saved, options, found)
        family = name.family or options.family or each.family or FAMILY
        size = name.size or options.size
        if size is None and options.checkpoints:  # those of a family that lie together have one
            size = sizes.get((family, each.home))
        size = int(size or size_of(layout, family, found))
        sizes[family, each.home] = size
        run = family, size, first_given(name.seed, options.run_seed) or 0
        step = first_given(name.step, options.step)
        if step is None:
            step = step_of(each, places[run])
        places[run] += 1
        check_same(layout, found.layouts.setdefault(run[:2], layout))
        found.doubles |= layout.doubles
        found.snapshots.append(Snapshot(*run, step, each.path))
    placed = options.step is None and "step" not in in_pattern
    put_in_order(found, placed and all(each.home is None for each in given))
    if options.checkpoints:
        check_pairs(found.snapshots)
        if not options.keep_buffers:
            leave_out_unchanging(found, options, options.size is None and "size" not in in_pattern)
            put_in_order(found, placed=False)  # sizes may have become equal
        found.snapshots = list(differences(found.snapshots))
    return found


def is_timed(options: IngestOptions, pattern: re.Pattern[str] | None, place: str) -> bool:
    """Return whether the step of a folder or revision is known, by pattern, option or its name."""
    if pattern and "step" in pattern.groupindex:
        return pattern.search(full(place)) is not None
    return options.step is not None or step_in(place) is not None


def step_of(each: Checkpoint, place: int) -> int:
    """Return the step where neither pattern nor option gives it: its place, of a folder its name's.

    Raise TableError where the name of a folder or a revision has none.
    """
    step = place if each.home is None else step_in(each.place)
    if step is None:
        raise TableError(
            f"{each.place} does not say of which step it is; name it as in checkpoint-100 or "
            "step1000, or say where the step is with --pattern, as in 'run-{step}'"
        )
    return step


def size_of(layout: Layout, family: str, found: Series) -> int:
    """Return the size where none is named: the number of parameters."""
    size = layout.entries
    check_no_other_size(layout, found.layouts, family)
    if size > INT32_MAX:
        raise ShapeError(
            f"{layout.path} has {size} parameters, more than the width column can hold; name its "
            "size with --size, in a unit of your own"
        )
    return size


def put_in_order(found: Series, placed: bool) -> None:
    """Sort by run and step; raise TableError at two of one step, note places against names."""
    found.snapshots.sort(key=lambda each: (*each.run, each.step))
    for a, b in pairwise(found.snapshots):
        if (a.run, a.step) == (b.run, b.step):
            raise RepeatedError(
                f"{a.path} and {b.path} are both of size {a.size}, seed {a.seed}, step {a.step}; "
                "tell them apart by --pattern, or ingest them into tables with different --label"
            )
        if placed and a.run == b.run and natural(a.path) > natural(b.path):
            found.disordered.append((a.path, b.path))


def first_given(*values: Any) -> int | None:
    """Return the first value that is not None, if there is one."""
    return next((int(value) for value in values if value is not None), None)


def natural(path: str) -> list[tuple[int, str]]:
    """Sort key by which step9 comes before step10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def layout_of(saved: Saved, options: IngestOptions, found: Series) -> Layout:
    """Choose the tensors of a file that make its vector; note those left out."""
    names = {name: saved.names.get(name, name) for name in saved.tensors}
    found.idle -= matched(names, (*options.include, *options.exclude))
    buffers = buffers_among({name: tensor.entries for name, tensor in saved.tensors.items()})
    kept, known = {}, set[Tensor]()
    for name in chosen(names, options.include or None, options.exclude):
        tensor = saved.tensors[name]
        if options.keeps(name, names[name]):
            found.asked.add(name)
        if tensor.whole and name != FLAT:
            found.left_out.setdefault(name, tensor.kind)
        elif name in buffers and name not in found.asked:
            found.buffers[name] = None
        elif not tensor.entries:
            found.empty[name] = None
        elif tensor.memory and tensor in known and name not in found.asked:
            found.tied[name] = None
        elif tensor.floating:
            kept[name] = tensor
            known.add(tensor)
        else:
            raise TableError(
                f"{saved.path}: tensor '{name}' holds {tensor.kind}, which is not read; convert "
                f"it, or leave it out with --exclude {quoted(name)}"
            )
    if not kept:
        listed = ", ".join(f"'{name}'" for name in list(saved.tensors)[:5]) or "none at all"
        advice = "; check --include and --exclude" if options.include or options.exclude else ""
        advice += "; keep buffers with --keep-buffers" if found.buffers else ""
        raise EmptyError(
            f"{saved.path}: no floating tensor is left to take (its tensors: {listed})"
            + (advice or "; give a file that holds parameters")
        )
    return Layout(saved.path, kept)


def leave_out_unchanging(found: Series, options: IngestOptions, counted: bool) -> None:
    """Leave out tensors that no run of a family changes; ``counted``: sizes count entries."""
    kinds: dict[Kind, Kind] = {}
    layouts: dict[Kind, Layout] = {}
    for family in dict.fromkeys(name for name, _ in found.layouts):
        mine = {kind: layout for kind, layout in found.layouts.items() if kind[0] == family}
        still = unchanging(found, mine, options)
        for kind, layout in mine.items():
            kept = {name: t for name, t in layout.tensors.items() if name not in still}
            if kept:
                found.unchanging |= dict.fromkeys(name for name in layout.tensors if name in still)
                layout = replace(layout, tensors=kept)
            kinds[kind] = family, layout.entries if counted and kept else kind[1]
            check_same(layout, layouts.setdefault(kinds[kind], layout))
    found.layouts = layouts
    found.snapshots = [replace(each, size=kinds[each.kind][1]) for each in found.snapshots]


def unchanging(found: Series, layouts: dict[Kind, Layout], options: IngestOptions) -> set[str]:
    """Return the tensors of a family's networks that have the same entries all through each run.

    A vector stays with the rest of its layer: the bias before a BatchNorm has no gradient.
    """
    shapes = {name: t.shape for layout in layouts.values() for name, t in layout.tensors.items()}
    still, runs = set(shapes), dict[tuple[str, int, int], list[str]]()
    for each in found.snapshots:
        if each.kind in layouts:
            runs.setdefault(each.run, []).append(each.path)
    for run, paths in runs.items():
        # The last first: it settles nearly all tensors.
        for path in [paths[-1], *paths[1:-1]]:
            mine = [name for name in layouts[run[:2]].tensors if name in still]
            still -= set(changed(paths[0], path, mine, options.key, options.strip))
    moving = set(shapes) - still
    return {
        name
        for name in still
        if name not in found.asked
        and (len(shapes[name]) > 1 or not layer_mates(name, moving, shapes))
    }


def check_same(layout: Layout, first: Layout) -> None:
    """Raise TableError at the first tensor that a file lacks, adds or has in another shape."""
    for name in first.tensors | layout.tensors:
        here, there = layout.tensors.get(name), first.tensors.get(name)
        if here is None and there is not None:
            what = f"lacks the tensor '{name}' (shape {list(there.shape)}) of {first.path}"
        elif there is None and here is not None:
            what = f"has a tensor '{name}' (shape {list(here.shape)}) that {first.path} lacks"
        elif here and there and here.shape != there.shape:
            what = (
                f"has the tensor '{name}' in shape {list(here.shape)}, {first.path} in "
                f"{list(there.shape)}"
            )
        else:
            continue
        raise TableError(
            f"{layout.path} {what}, and both are of the same size; leave it out with --exclude "
            f"{quoted(name)}, or name another size by --pattern"
        )


def check_no_other_size(layout: Layout, known: dict[Kind, Layout], family: str) -> None:
    """Raise TableError where a size by number of parameters is one that only lacks a tensor."""
    for (other, _), first in known.items():
        shared = [name for name in layout.tensors if name in first.tensors]
        alike = all(layout.tensors[name].shape == first.tensors[name].shape for name in shared)
        if other == family and shared and alike:
            check_same(layout, first)


def check_pairs(snapshots: list[Snapshot]) -> None:
    """Raise TableError at a checkpoint that is the only one of its run."""
    runs = Counter(each.run for each in snapshots)
    for each in snapshots:
        if runs[each.run] == 1:
            raise TableError(
                f"{each.path} is the only checkpoint of size {each.size}, seed {each.seed}; a "
                "difference takes two"
            )


def differences(snapshots: list[Snapshot]) -> Iterator[Snapshot]:
    """Pair each checkpoint of a run with the one before it; sorted by run and step."""
    for a, b in pairwise(snapshots):
        if a.run == b.run:
            yield replace(b, earlier=a.path)
