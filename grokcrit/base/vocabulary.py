"""The closed lists of names, shared by options, tables, docs and the command line."""

from __future__ import annotations

# In this order: a graph's random stream is named by its topology's place.
TOPOLOGIES = (
    "ba",
    "ring",
    "lattice",
    "small-world",
    "erdos-renyi",
    "random-regular",
    "affine",
)
THE_FIVE = ("ring", "lattice", "small-world", "erdos-renyi", "ba")
SURROGATES = ("none", "gaussian", "permute", "permute-layers", "sign-flip", "gaussianize")
RULES = ("diffuse", "reset")
# Entries whose percentile is the threshold.
THRESHOLDS_OF = ("all", "nonzero")
PARAMETER_ORDERS = ("as-is", "shuffled")
OBSERVABLES = (
    "size",
    "excess",
    "area",
    "duration",
    "peak",
    "branching",
    "transported",
    "transported-per-toppling",
)
# What is estimated where nothing is asked for: the threshold puts 10 % of N into the size, so the
# size never stands without the part that the cascade added.
SHOWN = ("size", "excess", "branching")
STATISTICS = ("mean", "run-max", "cutoff", "max")
WINDOWS = ("aggregate", "pre", "post", "ungrokked", "epoch", "aligned")
PHASES = ("aggregate", "pre", "post")
DIFFERENCE = "post - pre"
MINUS_GAUSSIAN = "minus gaussian"
TRAINED_GRAPH = "training graph"
MINIMUM_SIZES = 3
# The `field` of avalanches that are of no vector. There is no training behind them, so there are no
# phases, no grokking and no null models; `epoch` is the number of an avalanche within its run.
NO_TRAINING = "avalanche"
# Modules of protocol/ that show warnings, of questions/ that show sweeps, and what they draw.
OF_SIGNALS = {"panel": ("warn",)}
OF_SWEEPS = {"choices": ("sweep", "effects", "variance", "crossings")}
# What `diagnose` answers, in the order of their rows, each with the panels that it draws.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "nulls": ("kept",),
    "controls": (
        "controls",
        "controls-epoch",
        "controls-aligned",
        "controls-relative",
        "controls-memorised",
        "controls-loss",
        "controls-density",
        "controls-density-before",
        "controls-density-after",
    ),
    "density": ("density", "density-before", "density-after", "density-all"),
    "straightness": (),
    "halves": (),
    "moments": ("moments",),
    "crossings": (),
    "placebos": ("placebos",),
    "collapse": ("collapses",),
    "tails": (),
    "counts": (),
    "gini": (),
}
# Names that an earlier version had, and what each is called now; kept for one version.
FORMER = {
    "separation": "controls",
    **{f"separation-{clock}": f"controls-{clock}" for clock in ("epoch", "aligned", "relative")},
    "controls": "nulls",
    "nulls": "kept",
}
# Statistics whose draws are unbiased.
RESAMPLED = ("mean", "run-max", "cutoff")
# The interval that is meant where none is named; `percentile` stands beside it.
INTERVAL = "expanded percentile"
# The same where a line does not fit: the scatter of runs without the misfit, which another run of
# the same sizes would share.
RUNS_ALONE = "expanded percentile, runs alone"
# Verdicts that are told in words: on a number, and on a claim without an error.
DISAGREE = ("no", "not seen")
