"""The table of a sweep: a column for every option that a training or a cascade can have."""

from __future__ import annotations

import pyarrow as pa

from grokcrit.base.options import CascadeOptions, Option, by_group, options_of
from grokcrit.base.stage_options import AvalancheOptions
from grokcrit.tables.schemas import (
    CASE,
    EXPONENT,
    INTERVAL,
    OBSERVABLE,
    SETUP,
    STATISTIC,
    TABLES,
    WINDOW,
    Column,
    Schema,
    nullable,
)
from grokcrit.tasks import TASKS

# Options of training whose names the cascade of `avalanche` has too: there with this before them.
TRAINED = "train_"


def column_of(option: Option, name: str, of: str = "") -> Column:
    """Return the column of an option; it takes any value, as failed points are recorded, too."""
    large = option.most is not None and option.most > 2**31
    kinds = {int: pa.int64() if large else pa.int32(), float: pa.float64(), str: pa.string()}
    kind, number = kinds[option.kind], option.kind is not str and not option.many
    return Column(
        name,
        pa.list_(kind) if option.many else kind,
        of + option.phrase,
        nullable=True,
        minimum=0 if number else None,
        maximum=None if option.kind is float else 2**63 - 1,
        parse=option.parse,
        optional=True,  # a sweep of an earlier version lacks the options that were added
    )


def training_columns() -> tuple[Column, ...]:
    """Return the columns of the options of a training, whatever the task."""
    tasks = {task: options_of(kind) for task, kind in TASKS.items()}
    known: dict[str, Option] = {}
    for options in tasks.values():
        known |= {name: each for name, each in options.items() if name not in known}
    shared = set(options_of(CascadeOptions)) | {"seed"}
    columns = []
    for option in by_group(known.values()):
        having = [task for task, options in tasks.items() if option.name in options]
        if option.name in shared:
            columns.append(column_of(option, TRAINED + option.name, "in training: "))
        elif option.swept and option.name != "task":
            only = ", ".join(f"`{task}`" for task in having) + ": "
            columns.append(column_of(option, option.name, only if len(having) < len(tasks) else ""))
    return tuple(columns)


def avalanche_columns() -> tuple[Column, ...]:
    """Return the columns of the options of the cascades, which have one value at a point."""
    probe = {c.name: nullable(c) for c in SETUP if c.name not in ("surrogate", "replicate")}
    known = options_of(AvalancheOptions) | options_of(CascadeOptions)
    more = [
        column_of(option, "avalanche_seed" if name == "seed" else name)
        for name, option in known.items()
        if name not in probe and name != "surrogate"
    ]
    return (*probe.values(), *more)


SWEPT_TRAINING = training_columns()
SWEPT_AVALANCHE = avalanche_columns()
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
        *(nullable(c) for c in SETUP if c.name == "surrogate"),
        nullable(OBSERVABLE),
        nullable(STATISTIC),
        nullable(WINDOW),
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
    choices=SWEPT_TRAINING + SWEPT_AVALANCHE,
)
TABLES[SWEEP.stage] = SWEEP
