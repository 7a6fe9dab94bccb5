"""The tables: every column's type, unit and meaning, once. Reading, writing and docs use this."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from grokcrit.base.vocabulary import OBSERVABLES, STATISTICS, WINDOWS
from grokcrit.tables import provenance


@dataclass(frozen=True)
class Column:
    """One column.

    ``minimum`` bounds numbers from below where they have a bound; an ``optional`` column may be
    missing from a table made elsewhere, and is then null. An ``alternative`` type is read and
    written where values need it, or where it holds them in less room. ``length`` is the column
    that says how many entries a list has, none of them below 0. ``maximum`` is what numbers may be
    at most; None: what can be reckoned with.
    """

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False
    minimum: float | None = None
    alternative: pa.DataType | None = None
    optional: bool = False
    length: str | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Schema:
    """One table: its stage, version, columns, and the columns that name a row.

    ``steady`` columns have one value in a run, which the key names but for the epoch.
    """

    stage: str
    version: int
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    steady: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Schema name as the record carries it, ``train/1``."""
        return f"{self.stage}/{self.version}"

    @property
    def command(self) -> str:
        """The command that makes such a table."""
        return "diagnose" if self.stage == "diagnostics" else self.stage

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

    def only(self, names: Sequence[str]) -> Schema:
        """Return the schema with those columns alone, so that the others are never read."""
        return dataclasses.replace(self, columns=tuple(c for c in self.columns if c.name in names))

    def without(self, names: Sequence[str]) -> Schema:
        """Return the schema without those columns, so that they are never read."""
        return self.only([c.name for c in self.columns if c.name not in names])

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(c for c in self.columns if c.name == name)


CASE = (
    Column("task", pa.string(), "what was learnt: `xor`, `modadd`, or as given; `npy`: a file"),
    Column("case", pa.string(), "label, or digest of the training options but width and seed"),
    Column("field", pa.string(), "what the vector is: `gradient`, `clipped-gradient`, `update`"),
)
PROBE = (
    Column("topology", pa.string(), "diffusion graph"),
    Column("degree", pa.int32(), "mean degree asked for", minimum=0),
    Column("graph_seed", pa.int32(), "seed of the graph", minimum=0),
    Column("surrogate", pa.string(), "null model the vector went through; `none`: the data"),
    Column("replicate", pa.int32(), "which draw of a random surrogate", minimum=0),
    Column("alpha", pa.float64(), "diffusion strength, 0 < alpha <= 1", minimum=0),
    Column("quantile", pa.float64(), "percentile of abs(g) that is the threshold", minimum=0),
    Column("rule", pa.string(), "`diffuse` or `reset`"),
)
CASE_COLUMNS = tuple(c.name for c in CASE + PROBE)
RUN = (
    Column("width", pa.int32(), "hidden units h", minimum=1),
    Column("n_params", pa.int64(), "parameters N = nodes of the graph", minimum=1),
    Column("seed", pa.int32(), "seed of the run", minimum=0),
    Column("epoch", pa.int32(), "updates made so far; 0 is before the first", minimum=0),
)
GROK = Column(
    "grok_epoch",
    pa.int32(),
    "first epoch from which accuracy stays 1 (`modadd`: first of test accuracy above 0.99); "
    "`avalanche --grok-accuracy X`: above X; null: never, or not known",
    True,
    0,
)
THRESHOLD = Column("threshold", pa.float64(), "theta, in the unit of the gradient", minimum=0)
CASCADE = (
    Column("size", pa.int64(), "avalanche size s: topplings, with repetition", minimum=0),
    Column("area", pa.int64(), "distinct nodes that toppled", minimum=0),
    Column("duration", pa.int32(), "parallel steps until quiet, at most max_steps", minimum=0),
    Column("peak", pa.int64(), "most topplings in one step", minimum=0),
)
TRUNCATED = Column("truncated", pa.bool_(), "cut off at max_steps with nodes above theta")


def _nullable(column: Column) -> Column:
    return dataclasses.replace(column, nullable=True)


TRAIN = Schema(
    "train",
    1,
    "One row a run and epoch, sorted by width, seed, epoch; a row group a run, or several where it "
    "is large. The cascade "
    "columns are the epoch's own cascade of the raw gradient on the training graph, null where "
    "no full gradient was taken.",
    (
        *CASE,
        *RUN,
        Column("loss", pa.float64(), "mean cross-entropy of the training patterns, nats", True),
        Column("train_accuracy", pa.float64(), "share of training patterns right", True, 0),
        Column("test_accuracy", pa.float64(), "share of test patterns right", True, 0),
        Column("weight_gini", pa.float64(), "Gini of abs(weights); null: all are 0", True, 0),
        *map(_nullable, (THRESHOLD, *CASCADE)),
        Column("deviation", pa.float64(), "||g' - g|| / ||g||, g' redistributed", True, 0),
        _nullable(TRUNCATED),
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
    ),
    ("case", "field", "width", "seed", "epoch"),
    ("n_params", "grok_epoch", "grok_epoch_first"),
)
AVALANCHE = Schema(
    "avalanche",
    1,
    "One row a snapshot and case.",
    (
        *CASE,
        *PROBE,
        *RUN,
        GROK,
        THRESHOLD,
        *CASCADE,
        TRUNCATED,
        Column(
            "activity",
            pa.list_(pa.int64()),
            "topplings of each step; they sum to size",
            length="duration",
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
    ),
    (*CASE_COLUMNS, "width", "seed", "epoch"),
    ("n_params", "grok_epoch"),
)
OBSERVABLE = Column("observable", pa.string(), f"one of {', '.join(OBSERVABLES)}")
STATISTIC = Column("statistic", pa.string(), f"one of {', '.join(STATISTICS)}")
EXPONENT = Column("exponent", pa.float64(), "slope of ln(statistic) on ln(N); null: no fit", True)
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
        *PROBE,
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
        Column("curvature_p", pa.float64(), "its two-sided p, from the run bootstrap", True, 0),
    ),
    (*CASE_COLUMNS, "observable", "statistic", "window", "time"),
)
BOOTSTRAP = Schema(
    "bootstrap",
    1,
    "Estimates, intervals, draws and leave-one-out fits of the exponents. Draw k resamples the "
    "same runs in every case and window, so rows of equal index are paired.",
    (
        *CASE,
        *PROBE,
        OBSERVABLE,
        STATISTIC,
        Column(
            "window",
            pa.string(),
            "`aggregate`, `pre`, `post`, or the paired difference `post - pre`",
        ),
        Column(
            "kind",
            pa.string(),
            "`estimate`, `interval`, `draw`, `leave-one-out`, or `permutation`: pre and post "
            "swapped within runs, the interval is the central range of what that gives",
        ),
        Column(
            "part",
            pa.string(),
            "leave-one-out: `n_params`, `seed` or `epoch` (a tenth of the training); "
            "`minus gaussian`: paired difference to the null",
            True,
        ),
        Column(
            "index",
            pa.int32(),
            "draw: its number; leave-one-out: the value left out, of epochs the first; int64 if "
            "an n_params does not fit",
            True,
            alternative=pa.int64(),
        ),
        EXPONENT,
        *INTERVAL,
        Column("p", pa.float64(), "differences: two-sided p of 0, from the draws", True, 0),
        Column("method", pa.string(), "how the number was made", True),
    ),
    (*CASE_COLUMNS, "observable", "statistic", "window", "kind", "part", "index", "method"),
)
DIAGNOSTICS = Schema(
    "diagnostics",
    1,
    "One row a number: everything that is estimated besides exponents and their draws. What each "
    "`quantity` is: docs/diagnostics.md.",
    (
        *CASE,
        *map(_nullable, PROBE),
        _nullable(OBSERVABLE),
        _nullable(STATISTIC),
        Column("quantity", pa.string(), "what is estimated"),
        Column("part", pa.string(), "of what: the level crossed, the model compared, ...", True),
        Column("window", pa.string(), "as in fss, or `post - pre`", True),
        Column("time", pa.int32(), "epoch, or start of an aligned bin", True),
        Column("n_params", pa.int64(), "of one size; null: of all", True, 1),
        Column("seed", pa.int32(), "of one run; null: of all", True, 0),
        Column("value", pa.float64(), "the number; null: it does not exist", True),
        *INTERVAL,
        Column("p", pa.float64(), "its p value, where it is tested", True, 0),
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
# Options of training whose names the cascade of `avalanche` has too: there with this before them.
TRAINED = "train_"


def _option(name: str, kind: pa.DataType, meaning: str) -> Column:
    # What failed is recorded, too: any number that an option may be. None is below 0.
    most = sys.float_info.max if pa.types.is_floating(kind) else 2**63 - 1
    least = 0 if pa.types.is_floating(kind) or pa.types.is_integer(kind) else None
    return Column(name, kind, meaning, nullable=True, minimum=least, maximum=most)


SWEPT_TRAINING = (
    _option("hidden", pa.list_(pa.int32()), "sizes: hidden units h"),
    _option("seeds", pa.int32(), "runs of each size"),
    _option("epochs", pa.int32(), "epochs of each run"),
    _option("snapshot_every", pa.int32(), "epochs between gradients"),
    _option("lr", pa.float64(), "learning rate"),
    _option("probe", pa.string(), "`inline` or `shadow`"),
    _option("activation", pa.string(), "`xor`: of the hidden units"),
    _option("init", pa.string(), "`xor`: initialisation"),
    _option("gini_of", pa.string(), "`xor`: weights of the Gini coefficient"),
    _option("model", pa.string(), "`modadd`: `transformer` or `mlp`"),
    _option("prime", pa.int32(), "`modadd`: the modulus"),
    _option("split", pa.string(), "`modadd`: `pairs` or `sym`"),
    _option("train_fraction", pa.float64(), "`modadd`: share that trains"),
    _option("weight_decay", pa.float64(), "`modadd`: of AdamW"),
    _option("batch", pa.int32(), "`modadd`: pairs of an update, 0 for all"),
    _option("snapshot_window", pa.int32(), "`modadd`: epochs around grokking"),
    _option("train_topology", pa.string(), "diffusion graph in training"),
    _option("train_degree", pa.int32(), "its mean degree"),
    _option("train_graph_seed", pa.int32(), "its seed"),
    _option("train_alpha", pa.float64(), "diffusion strength in training"),
    _option("train_quantile", pa.float64(), "threshold percentile in training"),
    _option("train_rule", pa.string(), "`diffuse` or `reset`, in training"),
    _option("train_max_steps", pa.int32(), "most steps of a cascade in training"),
    _option("train_parameter_order", pa.string(), "parameters on the graph in training"),
    _option("train_threshold_of", pa.string(), "`all` or `nonzero` entries, in training"),
    _option("train_seed", pa.int64(), "root seed of the training"),
)
SWEPT_AVALANCHE = (
    *(_nullable(c) for c in PROBE if c.name not in ("surrogate", "replicate")),
    _option("max_steps", pa.int32(), "most steps of a cascade"),
    _option("parameter_order", pa.string(), "parameters on the graph"),
    _option("threshold_of", pa.string(), "entries whose percentile is theta: `all` or `nonzero`"),
    _option("replicates", pa.int32(), "draws of each random surrogate, averaged"),
    _option("grok_accuracy", pa.float64(), "test accuracy that counts as grokked; null: task's"),
    _option("avalanche_seed", pa.int64(), "root seed of the surrogates"),
)
SWEEP = Schema(
    "sweep",
    1,
    "One row a point of the sweep, surrogate, observable, statistic and window; the options of the "
    "point are repeated on each. A point that failed has one row: its options and its `error`.",
    (
        Column("point", pa.string(), "digest of the point's options and of the code"),
        *CASE,
        *SWEPT_TRAINING,
        *SWEPT_AVALANCHE,
        *(_nullable(c) for c in PROBE if c.name == "surrogate"),
        _nullable(OBSERVABLE),
        _nullable(STATISTIC),
        Column(
            "window",
            pa.string(),
            "`aggregate`, `pre`, `post`, or the paired difference `post - pre`",
            True,
        ),
        EXPONENT,
        *INTERVAL,
        Column("p", pa.float64(), "`post - pre`: two-sided p of 0", True, 0),
        Column("minus_gaussian", pa.float64(), "exponent minus that of the Gaussian null", True),
        Column("minus_gaussian_low", pa.float64(), "lower end of its interval", True),
        Column("minus_gaussian_high", pa.float64(), "upper end of its interval", True),
        Column("minus_gaussian_p", pa.float64(), "two-sided p of 0", True, 0),
        Column(
            "crossing",
            pa.float64(),
            "`mean`, surrogate `none`: epoch from which D(t) stays above the Gaussian null, "
            "interpolated; null: it does not cross",
            True,
            0,
        ),
        Column(
            "crossing_clear",
            pa.bool_(),
            "whether D(t) was before below the null, and is at last above it, by more than its "
            "interval; null: not asked",
            True,
        ),
        Column("n_runs", pa.int32(), "runs of the point", True, 0),
        Column("n_grokked", pa.int32(), "of them grokked", True, 0),
        Column("grok_epoch_min", pa.int32(), "first grokking epoch; null: none grokked", True, 0),
        Column("grok_epoch_median", pa.float64(), "median grokking epoch", True, 0),
        Column("grok_epoch_max", pa.int32(), "last grokking epoch", True, 0),
        Column("n_avalanches", pa.int64(), "avalanches of the data", True, 0),
        Column("n_truncated", pa.int64(), "of them cut off at max_steps", True, 0),
        Column("n_quiet", pa.int64(), "of them of size 0", True, 0),
        Column("warnings", pa.list_(pa.string()), "ids of what to beware of", True),
        Column("error", pa.string(), "why the point failed; null: it did not", True),
    ),
    ("point", "surrogate", "observable", "statistic", "window"),
)
TABLES = {schema.stage: schema for schema in (TRAIN, AVALANCHE, FSS, BOOTSTRAP, DIAGNOSTICS, SWEEP)}


def markdown() -> str:
    """Write the reference page of all tables, docs/tables.md."""
    lines = [
        "# The tables",
        "",
        "Written by `python -m grokcrit.tables.schemas`, from what also checks every file.",
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


if __name__ == "__main__":
    print(markdown(), end="")
