"""The closed lists of names, shared by options, tables, docs and the command line."""

from __future__ import annotations

TASKS = ("xor", "modadd")
MODELS = ("transformer", "mlp")
SPLITS = ("pairs", "sym")
HEADS = 4
# What groks on one core: docs/modadd.md. batch 0: all pairs.
_TRANSFORMER = {"hidden": (32, 48, 64, 96, 128), "epochs": 500, "batch": 512}
_MLP = {"hidden": (120, 192, 340, 680, 1200), "epochs": 500, "lr": 1e-2, "batch": 0}
RECIPES = {
    ("transformer", "pairs"): {**_TRANSFORMER, "lr": 1e-3},
    ("transformer", "sym"): {**_TRANSFORMER, "lr": 3e-3},
    ("mlp", "pairs"): _MLP,
    ("mlp", "sym"): _MLP,
}
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
PROBES = ("inline", "shadow")
ACTIVATIONS = ("tanh", "relu", "sigmoid")
INITS = ("uniform", "xavier", "he", "normal")
GINI_OF = ("output", "first", "all", "gradient")
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
STATISTICS = ("mean", "run-max", "max")
WINDOWS = ("aggregate", "pre", "post", "ungrokked", "epoch", "aligned")
PHASES = ("aggregate", "pre", "post")
DIFFERENCE = "post - pre"
MINUS_GAUSSIAN = "minus gaussian"
SIZES = (20, 30, 50, 75, 100, 200, 300, 500)
MINIMUM_SIZES = 3
# Statistics whose draws are unbiased.
RESAMPLED = ("mean", "run-max")
# The interval that is meant where none is named; `percentile` stands beside it.
INTERVAL = "expanded percentile"
# Verdicts that are told in words: on a number, and on a claim without an error.
DISAGREE = ("no", "not seen")
