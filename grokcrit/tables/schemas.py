"""The tables: every column's type, unit and meaning, once. Reading, writing and docs use this."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from grokcrit.base.vocabulary import OBSERVABLES, STATISTICS, WINDOWS
from grokcrit.tables import provenance


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    minimum: float | None = None
    alternative: pa.DataType | None = None  # where values need it, or it holds them in less room
    optional: bool = False  # may be missing from a table made elsewhere, and is then null
    length: str | None = None  # column that counts the entries of a list, none of them below 0
    total: str | None = None  # column that the entries of a list sum to
    maximum: float | None = None  # None: what can be reckoned with
    each: bool = False  # whether the range is that of each entry of a list
    parse: Callable[[Any], Any] | None = None  # reads a value that is written in several ways


@dataclass(frozen=True)
class Schema:
    """One table."""

    stage: str
    version: int
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]  # the columns that name a row
    steady: tuple[str, ...] = ()  # columns with one value in a run: the key but for the epoch
    choices: tuple[Column, ...] = ()  # options, one value in a point of a sweep
    former: tuple[int, ...] = ()  # earlier versions, which are read, too

    @property
    def name(self) -> str:
        """Schema name as the record carries it, ``train/1``."""
        return f"{self.stage}/{self.version}"

    @property
    def readable(self) -> list[str]:
        """Names of the versions that are read."""
        return [self.name, *(f"{self.stage}/{version}" for version in self.former)]

    @property
    def command(self) -> str:
        """The command that makes such a table."""
        named = {"diagnostics": "diagnose", "signals": "train --signals all"}
        return named.get(self.stage, self.stage)

    @cached_property
    def arrow(self) -> pa.Schema:
        """Arrow schema without metadata."""
        return pa.schema([pa.field(c.name, c.type, nullable=True) for c in self.columns])

    def recorded(self, made: provenance.Record, single: bool = False) -> pa.Schema:
        """Arrow schema that carries a record; ``single``: lists of float where that is allowed."""
        fields = [
            pa.field(c.name, c.alternative if single and c.alternative else c.type)
            for c in self.columns
        ]
        return pa.schema(fields, provenance.encode(made))

    def ordered(self, table: pa.Table) -> pa.Table:
        """Return a table sorted by its key."""
        return table.sort_by([(name, "ascending") for name in self.key])

    def only(self, names: Sequence[str]) -> Schema:
        """Return the schema with those columns alone, so that the others are never read."""
        return dataclasses.replace(self, columns=tuple(c for c in self.columns if c.name in names))

    def without(self, names: Sequence[str]) -> Schema:
        """Return the schema without those columns, so that they are never read."""
        return self.only([c.name for c in self.columns if c.name not in names])

    def lenient(self, names: Sequence[str]) -> Schema:
        """Return the schema with those columns optional, for a stage that can do without."""
        return dataclasses.replace(
            self,
            columns=tuple(
                dataclasses.replace(c, optional=c.optional or c.name in names) for c in self.columns
            ),
        )

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(c for c in self.columns if c.name == name)


CASE = (
    Column(
        "task",
        pa.string(),
        "what was learnt: `xor`, `modadd`, `parity`, or as given; `npy`: a file; of `simulate` the "
        "system",
    ),
    Column("case", pa.string(), "label, or digest of the training options but width and seed"),
    Column(
        "field",
        pa.string(),
        "what the vector is: `gradient`, `clipped-gradient`, `update`; `avalanche`: there is none, "
        "and no training",
    ),
)
# Null where avalanches are not those of a gradient: a sandpile has no threshold_of, no quantile.
SETUP = (
    Column("topology", pa.string(), "diffusion graph", True),
    Column("degree", pa.int32(), "mean degree asked for", True, 0),
    Column("graph_seed", pa.int32(), "seed of the graph", True, 0),
    Column("surrogate", pa.string(), "null model the vector went through; `none`: the data"),
    Column("replicate", pa.int32(), "which draw of a random surrogate", minimum=0),
    Column("alpha", pa.float64(), "diffusion strength, 0 < alpha <= 1", True, 0),
    Column("quantile", pa.float64(), "percentile of abs(g) that is the threshold", True, 0),
    Column("rule", pa.string(), "`diffuse` or `reset`", True),
)
CASE_COLUMNS = tuple(c.name for c in CASE + SETUP)
RUN = (
    Column("width", pa.int32(), "hidden units h; of `simulate` the `--size`", minimum=1),
    Column("n_params", pa.int64(), "parameters N = nodes of the graph, or sites", minimum=1),
    Column("seed", pa.int32(), "seed of the run", minimum=0),
    Column(
        "epoch",
        pa.int32(),
        "updates made so far; 0 is before the first; of `simulate` the number of the avalanche",
        minimum=0,
    ),
)
GROK = Column(
    "grok_epoch",
    pa.int32(),
    "first epoch from which accuracy stays 1 (`modadd`, `parity`: first of test accuracy above "
    "0.99); `avalanche --grok-accuracy X`: above X; null: never, or not known",
    True,
    0,
)
# Training accuracy above which a run has memorised: that of grokking in `modadd`.
MEMORISED = 0.99
# Test accuracy above which a run has grokked (2604.16431).
GROKKED = 0.99
ACCURACIES = (
    Column("train_accuracy", pa.float64(), "share of training patterns right", True, 0),
    Column("test_accuracy", pa.float64(), "share of test patterns right", True, 0),
)
EVERY = Column(
    "every",
    pa.int32(),
    "of a recorder: steps between the rows, as they were set when this one was taken",
    True,
    1,
    optional=True,
)
THRESHOLD = Column("threshold", pa.float64(), "theta, in the unit of the gradient", minimum=0)
CASCADE = (
    Column("size", pa.int64(), "avalanche size s: topplings, with repetition", minimum=0),
    Column("area", pa.int64(), "distinct nodes that toppled", minimum=0),
    Column("duration", pa.int32(), "parallel steps until quiet, at most max_steps", minimum=0),
    Column("peak", pa.int64(), "most topplings in one step", minimum=0),
)
TRUNCATED = Column("truncated", pa.bool_(), "cut off at max_steps with nodes above theta")


def nullable(column: Column) -> Column:
    """Return the column as one that may be null."""
    return dataclasses.replace(column, nullable=True)


TRAIN = Schema(
    "train",
    1,
    "One row per run and epoch, sorted by width, seed, epoch; a row group per run, or several "
    "where it is large. The cascade columns are the epoch's own cascade of the raw gradient on the "
    "training graph, null where "
    "no full gradient was taken.",
    (
        *CASE,
        *RUN,
        Column("loss", pa.float64(), "mean cross-entropy of the training patterns, nats", True),
        *ACCURACIES,
        Column("weight_gini", pa.float64(), "Gini of abs(weights); null: all are 0", True, 0),
        *map(nullable, (THRESHOLD, *CASCADE)),
        Column("deviation", pa.float64(), "||g' - g|| / ||g||, g' redistributed", True, 0),
        nullable(TRUNCATED),
        Column("grok_epoch_first", pa.int32(), "first epoch of accuracy 1; null: never", True, 0),
        GROK,
        Column(
            "gradient",
            pa.list_(pa.float64()),
            "raw gradient, n_params entries; null but at snapshots",
            True,
            alternative=pa.list_(pa.float32()),
        ),
        Column(
            "mirrored_accuracy",
            pa.float64(),
            "`modadd`: share right of test pairs (a, b) with (b, a) among the training pairs",
            True,
            0,
            optional=True,
        ),
        Column(
            "unmirrored_accuracy",
            pa.float64(),
            "`modadd`: share right of the other test pairs",
            True,
            0,
            optional=True,
        ),
        EVERY,
    ),
    ("case", "field", "width", "seed", "epoch"),
    ("n_params", "grok_epoch", "grok_epoch_first"),
)
AVALANCHE = Schema(
    "avalanche",
    1,
    "One row per snapshot and case; of `simulate` per avalanche.",
    (
        *CASE,
        *SETUP,
        *RUN,
        GROK,
        nullable(THRESHOLD),
        CASCADE[0],
        *map(nullable, CASCADE[1:]),
        nullable(TRUNCATED),
        Column(
            "activity",
            pa.list_(pa.int64()),
            "topplings of each step; they sum to size",
            True,
            length="duration",
            total="size",
        ),
        Column(
            "transported",
            pa.float64(),
            "sum of alpha abs(g) over all topplings, in the unit of the gradient",
            True,
            0,
            optional=True,
        ),
        Column(
            "zero_threshold",
            pa.bool_(),
            "theta is 0 and something toppled: left out of fits unless `--keep-zero-threshold`",
            True,
            optional=True,
        ),
        Column(
            "loss", pa.float64(), "training loss at that epoch, as in train", True, optional=True
        ),
        Column(
            "memorise_epoch",
            pa.int32(),
            f"first epoch of train accuracy above {MEMORISED}; null: never, or not known",
            True,
            0,
            optional=True,
        ),
        *(dataclasses.replace(column, optional=True) for column in ACCURACIES),
        EVERY,
    ),
    (*CASE_COLUMNS, "width", "seed", "epoch"),
    ("n_params", "grok_epoch", "memorise_epoch"),
)
OBSERVABLE = Column("observable", pa.string(), f"one of {', '.join(OBSERVABLES)}")
STATISTIC = Column("statistic", pa.string(), f"one of {', '.join(STATISTICS)}")
EXPONENT = Column("exponent", pa.float64(), "slope of ln(statistic) on ln(N); null: no fit", True)
WINDOW = Column(
    "window", pa.string(), "`aggregate`, `pre`, `post`, or the paired difference `post - pre`"
)
INTERVAL = (
    Column("ci_low", pa.float64(), "lower end of the interval", True),
    Column("ci_high", pa.float64(), "upper end of the interval", True),
)
FSS = Schema(
    "fss",
    1,
    "One row a fit: statistic ~ N^exponent in one window of one case.",
    (
        *CASE,
        *SETUP,
        OBSERVABLE,
        STATISTIC,
        Column("window", pa.string(), f"one of {', '.join(WINDOWS)}"),
        Column(
            "time", pa.int32(), "`epoch`: epoch; `aligned`: epoch - grok_epoch, bin start", True
        ),
        EXPONENT,
        Column("stderr", pa.float64(), "standard error of the least-squares slope", True),
        Column("r_squared", pa.float64(), "share of variance explained", True),
        Column("intercept", pa.float64(), "ln(statistic) at N = 1", True),
        *INTERVAL,
        Column(
            "n_sizes", pa.int32(), "sizes with a statistic above 0: those a fit uses", minimum=0
        ),
        Column("n_runs", pa.int32(), "runs with data in the window", minimum=0),
        Column("n_avalanches", pa.int64(), "avalanches in the window", minimum=0),
        Column("n_runs_excluded", pa.int32(), "runs of the case without data here", minimum=0),
        Column("n_sizes_excluded", pa.int32(), "sizes left out: no data, or 0", minimum=0),
        Column("n_truncated", pa.int64(), "avalanches cut off at max_steps", minimum=0),
        Column("n_quiet", pa.int64(), "avalanches of size 0", minimum=0),
        Column("curvature", pa.float64(), "coefficient of (ln N)^2 in a quadratic fit", True),
        Column("curvature_p", pa.float64(), "its two-sided p, by Student's t over runs", True, 0),
        Column(
            "chi2",
            pa.float64(),
            "lack of fit: least sum of (ln(statistic) - line)^2 over its variance over runs",
            True,
            0,
            optional=True,
        ),
        Column("chi2_freedom", pa.int32(), "its degrees of freedom", True, 0, optional=True),
        Column(
            "chi2_p",
            pa.float64(),
            "its p, for variances from few runs (Johansen); below 0.05 the interval contains the "
            "misfit",
            True,
            0,
            optional=True,
        ),
    ),
    (*CASE_COLUMNS, "observable", "statistic", "window", "time"),
)
BOOTSTRAP = Schema(
    "bootstrap",
    2,
    "Estimates, intervals, draws and leave-one-out fits of the exponents. Draw k resamples the "
    "same runs and graphs in every case and window, so the k-th entries of all lists `draws` are "
    "paired. Several graph seeds are one case, whose `graph_seed` is null; the record has them. "
    "`bootstrap/1`, which had a row of kind `draw` for each draw, is read, too.",
    (
        *CASE,
        *SETUP,
        OBSERVABLE,
        STATISTIC,
        WINDOW,
        Column(
            "kind",
            pa.string(),
            "`estimate`, `interval`, `draws`, `leave-one-out`, or `permutation`: pre and post "
            "swapped within runs, the interval is the central range of what that gives",
        ),
        Column(
            "part",
            pa.string(),
            "leave-one-out: `n_params`, `seed` or `epoch` (a tenth of the training); "
            "`minus gaussian`: paired difference to the null; `training graph`: on the graph that "
            "the training redistributed on (`--probe inline`), minus on the others",
            True,
        ),
        Column(
            "index",
            pa.int32(),
            "leave-one-out: the value left out, of epochs the first; int64 if an n_params does not "
            "fit",
            True,
            alternative=pa.int64(),
        ),
        EXPONENT,
        *INTERVAL,
        Column(
            "p",
            pa.float64(),
            "differences: two-sided p of 0 (Student's t over runs, and over graphs if several)",
            True,
            0,
        ),
        Column(
            "p_adjusted",
            pa.float64(),
            "p for the number of tests of the case; null: the primary test, the change of the mean "
            "size minus that of the Gaussian null",
            True,
            0,
            optional=True,
        ),
        Column("method", pa.string(), "how the number was made", True),
        Column(
            "draws",
            pa.list_(pa.float64()),
            "draws: the exponent of each resample, in their order, `exponent` being null; an entry "
            "is null where there is no fit",
            True,
            optional=True,
            each=True,
        ),
    ),
    (*CASE_COLUMNS, "observable", "statistic", "window", "kind", "part", "index", "method"),
    former=(1,),
)
DIAGNOSTICS = Schema(
    "diagnostics",
    1,
    "One row a number: everything that is estimated besides exponents and their draws. What each "
    "`quantity` is: docs/diagnostics.md.",
    (
        *CASE,
        *map(nullable, SETUP),
        nullable(OBSERVABLE),
        nullable(STATISTIC),
        Column("quantity", pa.string(), "what is estimated"),
        Column("part", pa.string(), "of what: the level crossed, the model compared, ...", True),
        Column("window", pa.string(), "as in fss, or `post - pre`", True),
        Column("time", pa.int32(), "epoch, or start of an aligned bin", True),
        Column("n_params", pa.int64(), "of one size; null: of all", True, 1),
        Column("seed", pa.int32(), "of one run; null: of all", True, 0),
        Column("value", pa.float64(), "the number; null: it does not exist", True),
        *INTERVAL,
        Column("p", pa.float64(), "its p value, where it is tested", True, 0),
        Column(
            "p_adjusted",
            pa.float64(),
            "p for the number of tests of its question (Benjamini and Hochberg), of a curve in "
            "time by clusters; null: the primary test, or a check of an assumption",
            True,
            0,
            optional=True,
        ),
        Column("n", pa.int64(), "how many went into it", True, 0),
        Column("method", pa.string(), "how the number was made", True),
    ),
    (
        *CASE_COLUMNS,
        "observable",
        "statistic",
        "quantity",
        "part",
        "window",
        "time",
        "n_params",
        "seed",
        "value",
        "method",
    ),
)
SIGNALS = Schema(
    "signals",
    1,
    "One row per run, epoch and signal. Besides signals the table holds what `warn` needs: "
    "`train_accuracy` and `test_accuracy` at every epoch, and where it is asked for `size`, the "
    "avalanche size, of which a family of widths makes D. docs/early-warning.md defines every "
    "signal.",
    (
        *CASE,
        *RUN,
        Column("signal", pa.string(), "name of the signal"),
        Column("value", pa.float64(), "its value; null: undefined at this epoch", True),
        Column(
            "seconds",
            pa.float64(),
            "time the signal took at this epoch, with all that it needs; null: not timed",
            True,
            0,
        ),
        Column(
            "training_seconds",
            pa.float64(),
            "time of the updates of an epoch of this run, or of a step of a recorder's loop, "
            "without signals: the median",
            True,
            0,
        ),
    ),
    ("case", "field", "width", "seed", "epoch", "signal"),
    ("n_params",),
)
WARN = Schema(
    "warn",
    1,
    "One row per number of the early-warning protocol: every score of every signal of a case that "
    "can grok, on the seeds that are held out (docs/early-warning.md).",
    (
        *CASE,
        Column("signal", pa.string(), "name of the signal; null: of the runs themselves", True),
        Column(
            "kind",
            pa.string(),
            "`signal`; `placebo`: knows nothing; `ceiling`: knows the task; `family`: of a family "
            "of widths",
            True,
        ),
        Column(
            "score",
            pa.string(),
            "`auroc`, `tauc`, `timing`, `coverage`, `coverage-c` (before c, of "
            "the runs whose c comes after they memorise), `false-alarms`, `lead-g`, "
            "`lead-c`, `gain`, `cost`; `explored`: AUROC of the seeds that explore; `left-out`: "
            "runs that do not count",
        ),
        Column(
            "control",
            pa.string(),
            "kind of control; `all`: mean over kinds, of false alarms over controls; `deciding`: "
            "mean over `shuffled` and `few`; null: none",
            True,
        ),
        Column("rate", pa.float64(), "share of exploring controls that may alarm", True, 0),
        Column("source", pa.string(), "case whose locked threshold is used; null: this one", True),
        Column("value", pa.float64(), "the number: a share, leads in epochs, a count of runs"),
        *INTERVAL,
        Column("n_runs", pa.int32(), "runs that grok in it, or families", minimum=0),
        Column("n_controls", pa.int32(), "controls in it, of `timing` later runs", minimum=0),
        Column("detector", pa.string(), "`level`, `change`, `z`, `cusum`, as locked", True),
        Column("sign", pa.int32(), "1: a rise alarms; -1: a fall does", True, -1),
        Column(
            "threshold",
            pa.float64(),
            "locked: a larger statistic alarms; null: none is needed, or anything alarms",
            True,
        ),
        Column("method", pa.string(), "how the interval was made; `left-out`: why"),
    ),
    ("case", "field", "signal", "score", "control", "rate", "source", "method"),
)
# Here and, from where the options of a training are known, the sweep's: grokcrit.tasks.swept.
TABLES = {
    schema.stage: schema
    for schema in (TRAIN, AVALANCHE, FSS, BOOTSTRAP, DIAGNOSTICS, SIGNALS, WARN)
}


def markdown() -> str:
    """Write the reference page of all tables, docs/tables.md."""
    lines = [
        "# The tables",
        "",
        "Written by `make docs`, from what also checks every file.",
        "",
    ]
    for schema in TABLES.values():
        lines += [f"## {schema.name}", "", schema.meaning, ""]
        lines += [f"A row is named by: {', '.join(f'`{k}`' for k in schema.key)}.", ""]
        lines += ["| column | type | null | meaning |", "|---|---|---|---|"]
        for c in schema.columns:
            kind = str(c.type).replace("item: ", "").replace("element: ", "")
            null = "yes" if c.nullable else ""
            lines.append(f"| `{c.name}` | {kind} | {null} | {c.meaning} |")
        lines.append("")
    return "\n".join(lines)
