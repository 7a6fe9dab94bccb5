"""What the page says whatever the numbers are: terms, what a section is about, what is missing."""

from __future__ import annotations

# What is missing, and the command that adds it.
ADDS = {
    "train": "grokcrit train",
    "avalanche": "grokcrit avalanche train.parquet --surrogate all",
    "fss": "grokcrit fss avalanche.parquet",
    "bootstrap": "grokcrit bootstrap avalanche.parquet",
    "diagnostics": "grokcrit diagnose avalanche.parquet train.parquet",
}
LACKS = {
    "train": "runs, their accuracy and the Gini coefficient",
    "avalanche": "avalanches, their distributions and the null models",
    "fss": "exponents in the phases and in time",
    "bootstrap": "resampled exponents and leave-one-out",
    "diagnostics": "null models judged, placebos, straightness, crossings",
}
TERMS = (
    ("avalanche", "The gradient of a network's loss, one number per parameter, is laid on a graph. "
     "Entries above a threshold (in absolute value) topple: they pass part of themselves to their "
     "neighbours, which may then topple too. All topplings together are one avalanche."),
    ("size, excess, branching", "size: how many topplings an avalanche has; excess: those after "
     "the first step, whose number the threshold fixes; branching: topplings of the second step "
     "over those of the first."),
    ("N", "Number of parameters of the network: the size of the system."),
    ("D", "The slope of ln(size) against ln(N): avalanches grow as N to the power D. mean: of the "
     "mean size (the source's gamma); run-max: of the largest of each run; max: of the largest of "
     "all."),
    ("grokking", "The epoch from which a run's accuracy is 1 and stays so. pre, before: earlier "
     "epochs; post, after: later ones; aggregate: all."),
    ("interval, p", "Intervals come from a bootstrap over whole runs, p is two-sided. Two numbers "
     "are called apart where p is below 0.05; nothing else is."),
    ("Gaussian null", "The same measurement on random numbers: what D is where there is nothing "
     "to find."),
)  # fmt: skip
