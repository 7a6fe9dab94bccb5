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
# What a section of the diagnostics is about, by the first word or two of its title.
ABOUT = {
    "null models": "A null model is the same gradient with something destroyed. What D keeps of "
    "its distance to random numbers (gaussian: i.i.d. normal numbers) does not depend on what was "
    "destroyed. permute: values shuffled over all parameters; permute-layers: inside each tensor; "
    "sign-flip: signs drawn anew; gaussianize: ranks, places and signs left, the distribution made "
    "normal. kept: 1 is all of the distance, 0 is none of it.",
    "placebos": "A placebo splits the training elsewhere than at the grokking epoch. Where it "
    "separates D before from D after as well as grokking does, the separation is no evidence of "
    "grokking.",
    "straightness": "An exponent means something where ln(statistic) against ln(N) is a line. "
    "The change of slope is from the smallest size to the largest; local exponents are between "
    "neighbouring sizes.",
    "D(t)": "When D(t) rises for good above the Gaussian null and above 1, and when it changes "
    "most. The lead is the median run's grokking epoch minus that time.",
    "Gini": "How unequal the weights are (Gini coefficient, 0 equal, 1 all in one): the source "
    "sees a transient peak at grokking.",
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
