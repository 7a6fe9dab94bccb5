"""A sweep file, checked whole before anything runs, and the points that it makes."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import os
import tomllib
from collections.abc import Callable, Container, Hashable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from grokcrit.base.errors import OptionError, PlanError, UnreadableError, reason
from grokcrit.base.options import INT64_MAX, CascadeOptions, Options, option, options_of
from grokcrit.base.rng import stream
from grokcrit.base.stage_options import AvalancheOptions, FitOptions
from grokcrit.base.vocabulary import MINIMUM_SIZES
from grokcrit.stages.train import check_graphs, check_sizes
from grokcrit.sweeps.axes import SWEPT, Axis, Span, axis, fields_of, near, typed
from grokcrit.tables import provenance
from grokcrit.tasks import run_options
from grokcrit.tasks.options import RunOptions

T = TypeVar("T")
Chosen = TypeVar("Chosen", bound=Options)
# What each option that a file names can be, and what it is at a point, by table and key.
Axes: TypeAlias = dict[tuple[str, str], Axis]
Values: TypeAlias = dict[tuple[str, str], Any]

# Points of a sweep: more take minutes to check and gigabytes to hold.
MOST_POINTS = 1_000_000
# Draws for each point of a sample; where so many give nothing new, there is nothing new.
DRAWS = 50


@dataclass(frozen=True)
class SweepEstimates(FitOptions):
    """Estimates at every point; the ``[fss]`` table."""

    observable: tuple[str, ...] = ("size", "excess")


@dataclass(frozen=True)
class Sample(Options):
    """Number of points drawn, and their random stream; the ``[sample]`` table."""

    points: int = option(1, "Points to draw", least=1)
    seed: int = option(0, "Seed of the draw", most=INT64_MAX)


@dataclass(frozen=True)
class Point:
    """One point of a sweep: the options of a training, of its cascades, and what is estimated."""

    training: RunOptions
    probed: AvalancheOptions
    estimates: SweepEstimates

    @cached_property
    def cascade(self) -> CascadeOptions:
        """Return the cascade as it is measured: what is not given is as in training."""
        return self.probed.cascades(self.training.case_options)[0]

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Return every option with its default resolved.

        The widths of a run change no other run, but they change the fit.
        """
        sizes = {"hidden": self.training.hidden, "seeds": self.training.seeds}
        own = ("surrogate", "replicates", "grok_accuracy", "seed")
        return {
            "train": self.training.case_options | sizes,
            "avalanche": dataclasses.asdict(self.cascade)
            | {name: getattr(self.probed, name) for name in own},
            "fss": dataclasses.asdict(self.estimates),
        }

    @cached_property
    def key(self) -> str:
        """Return the digest of configuration and code, which names the point and its part."""
        made = {**self.configuration, "code": provenance.code_version()}
        return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """A sweep file, read and checked."""

    points: list[Point]  # in the order of the file: the last axis varies fastest
    configuration: dict[str, Any]  # its tables: lists and ranges written out, seeds filled in

    def by_training(self, wanted: Container[str]) -> list[list[Point]]:
        """Return the points with the wanted keys, those of a training together."""
        found: dict[RunOptions, list[Point]] = {}
        for point in self.points:
            if point.key in wanted:
                found.setdefault(point.training, []).append(point)
        return list(found.values())


def read_plan(path: str | os.PathLike[str], seed: int = 0) -> Plan:
    """Return the plan of a sweep file, every option of every point checked.

    The file is TOML: tables ``[train]`` and ``[avalanche]``, whose lists and ranges are axes;
    ``[fss]``, what is estimated; ``[sample]``, for points drawn at random instead of the product.
    ``seed`` is the root seed of what the file gives none for. Raise TableError if the file cannot
    be read, and PlanError with table and key if something in it is wrong.
    """
    try:
        document = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
        return Reader(document, seed).plan()
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {reason(error)}") from None
    except ValueError as error:  # of TOML, of UTF-8, of a number of thousands of digits
        raise PlanError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise PlanError(f"{path}: its lists lie too deep") from None
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None


class Reader:
    """Turns the document of a sweep file into a plan."""

    def __init__(self, document: dict[str, Any], seed: int) -> None:
        """Check the names of the tables; fill in seeds."""
        known = (*SWEPT, "fss", "sample")
        for name, content in document.items():
            if name not in known:
                key = name.replace("-", "_")
                inside = [table for table in SWEPT if key in fields_of(table)]
                hint = f"; put {name} under [{inside[0]}]" if inside else near(name, known)
                raise PlanError(f"there is no table [{name}]{hint}")
            if not isinstance(content, dict):
                raise PlanError(f"{name} must be a table, [{name}]")
        self.tables: dict[str, dict[str, Any]] = {name: {} for name in known}
        for name, table in self.tables.items():
            for written, value in document.get(name, {}).items():
                # ``width`` is ``hidden``, as on the command line.
                key = "hidden" if written == "width" else written.replace("-", "_")
                if key in table:
                    raise PlanError(f"[{name}] {key} is there twice, the second time as {written}")
                table[key] = value
        for name in (*SWEPT, "fss"):
            self.tables[name].setdefault("seed", seed)
        self.sampled = "sample" in document
        # Each training, each cascade and each graph is checked once.
        self.made: dict[tuple[str, Hashable], Any] = {}

    def plan(self) -> Plan:
        """Make the points; raise PlanError where an option is wrong at any of them."""
        axes = {
            (table, key): axis(table, key, value, self.sampled)
            for table in SWEPT
            for key, value in self.tables[table].items()
        }
        estimates = self.settled("fss", SweepEstimates)
        sample = self.settled("sample", Sample) if self.sampled else None
        if sample and "points" not in self.tables["sample"]:
            raise PlanError("[sample] needs points, how many are drawn")
        check_axes(axes, sample)
        points: dict[str, Point] = {}
        for values in drawn(axes, sample) if sample else product(axes):
            point = self.point(values, estimates)
            if point.key in points and not sample:
                told = ", ".join(f"{table}.{key} = {v}" for (table, key), v in values.items())
                raise PlanError(f"the same point is there twice ({told})")
            points[point.key] = point
            if sample and len(points) == sample.points:
                break
        if sample and len(points) < sample.points:
            raise PlanError(
                f"[sample] points = {sample.points}, but only {len(points)} that differ were "
                "found; ask for fewer, or leave [sample] out to have them all"
            )
        written: dict[str, Any] = {"fss": dataclasses.asdict(estimates)}
        written |= {"sample": dataclasses.asdict(sample)} if sample else {}
        for (table, key), along in axes.items():
            plain = dataclasses.asdict(along) if isinstance(along, Span) else along
            written.setdefault(table, {})[key] = plain
        return Plan(list(points.values()), written)

    def settled(self, name: str, kind: type[Chosen]) -> Chosen:
        """Read a table whose options have one value each."""
        known, given = options_of(kind), {}
        for key, value in self.tables[name].items():
            if key not in known:
                raise PlanError(f"[{name}] {key} is no option of a sweep{near(key, known)}")
            given[key] = typed(f"[{name}] {key}", value, known[key])
        return self.once(name, repr(given), lambda: kind(**given))

    def point(self, values: Values, estimates: SweepEstimates) -> Point:
        """Make the options of a point."""
        parts: dict[str, dict[str, Any]] = {table: {} for table in SWEPT}
        for (table, key), value in values.items():
            parts[table][key] = value
        trained, measured = parts["train"], parts["avalanche"]
        training = self.once("train", repr(trained), lambda: training_of(**trained))
        probed = self.once("avalanche", repr(measured), lambda: probed_of(**measured))
        point = Point(training, probed, estimates)
        graphs = training, point.cascade.topology, point.cascade.degree
        self.once("avalanche", graphs, lambda: check_graphs(training, point.cascade))
        return point

    def once(self, table: str, key: Hashable, make: Callable[[], T]) -> T:
        """Make options where they are not made already; say in which table they are wrong."""
        if (table, key) not in self.made:
            try:
                self.made[table, key] = make()
            except OptionError as error:
                raise PlanError(f"[{table}] {error.name} {error.problem}") from None
        made: T = self.made[table, key]
        return made


def check_axes(axes: Axes, sample: Sample | None) -> None:
    """Raise PlanError where there are too many points, or axes that change nothing."""
    lengths = [len(along) for along in axes.values() if not isinstance(along, Span)]
    count = sample.points if sample else math.prod(lengths)
    if count > MOST_POINTS:
        raise PlanError(
            f"there are more than {MOST_POINTS} points; draw some of them with [sample], or make "
            "several files"
        )
    for table in SWEPT:
        topology, degree = (axes.get((table, name), ()) for name in ("topology", "degree"))
        assert not isinstance(topology, Span)
        assert not isinstance(degree, Span)
        if "lattice" in topology and len(degree) > 1:
            raise PlanError(
                f"[{table}] degree does not change a lattice, which has its own: sweep it apart"
            )


def product(axes: Axes) -> Iterator[Values]:
    """Yield every combination of the values."""
    discrete = [values for values in axes.values() if not isinstance(values, Span)]
    for values in itertools.product(*discrete):
        yield dict(zip(axes, values, strict=True))


def drawn(axes: Axes, sample: Sample) -> Iterator[Values]:
    """Draw combinations; the first points of a larger sample are those of a smaller one.

    Every axis has its own stream: what else the file says, and in which order, changes no draw.
    """
    draws = {place: stream("sweep", sample.seed, *place) for place in axes}
    for _ in range(sample.points * DRAWS):
        values: Values = {}
        for place, along in axes.items():
            share = draws[place].random()
            if isinstance(along, Span):
                values[place] = along.at(share)
            else:
                values[place] = along[int(share * len(along))]
        yield values


def training_of(**given: Any) -> RunOptions:
    """Make the options of a training; raise PlanError where its sizes are too few."""
    made = run_options(**given)
    if len(made.hidden) < MINIMUM_SIZES:
        raise PlanError(
            f"[train] hidden needs at least {MINIMUM_SIZES} sizes for a fit, got "
            f"{list(made.hidden)}"
        )
    check_sizes(made)
    return made


def probed_of(**given: Any) -> AvalancheOptions:
    """Make the options of the cascades; raise PlanError where the data are not among them."""
    made = AvalancheOptions(**{"surrogate": ("none", "gaussian")} | given)
    if "none" not in made.surrogate:
        raise PlanError("[avalanche] surrogate must include 'none', the data")
    return made
