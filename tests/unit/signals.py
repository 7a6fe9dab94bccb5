"""Signals tables made by hand: runs that grok, controls that do not, and any signals of both."""

import numpy as np
import pyarrow as pa

from grokcrit.tables import provenance
from grokcrit.tables.schemas import SIGNALS

M, G, END = 20, 80, 140
OPTIONS = {"task": "recorded", "configuration": {"chance": 0.1}}


def run(case, seed, signals, width=8, m=M, g=G, end=END, every=1, **more):
    """Rows of one run; ``signals`` maps names to functions of the epochs, or to values at them."""
    epochs = np.arange(end + 1)
    rows = []
    # Test accuracy leaves chance ten epochs before it exceeds 0.99.
    left = end + 1 if g is None else g - 10
    accuracies = {
        "train_accuracy": np.where(epochs >= (end + 1 if m is None else m), 1.0, 0.3),
        "test_accuracy": np.where(epochs >= left, 0.5, 0.1) + 0.5 * (epochs >= left + 10),
    }
    at = epochs[::every]
    found = {name: each(at) if callable(each) else each for name, each in signals.items()}
    for name, times, values in [
        *((name, epochs, each) for name, each in accuracies.items()),
        *((name, at, each) for name, each in found.items()),
    ]:
        timed = name not in accuracies
        rows += [
            {
                "task": "recorded",
                "case": case,
                "field": "gradient",
                "width": width,
                "n_params": 10 * width,
                "seed": seed,
                "epoch": int(t),
                "signal": name,
                "value": None if np.isnan(x) else float(x),
                "seconds": 0.01 if timed else None,
                "training_seconds": 0.1,
                **more,
            }
            for t, x in zip(times, values, strict=True)
        ]
    return rows


def table(rows, cases):
    """A signals table of some rows; ``cases`` maps each case to its options, or to its base."""
    options = {
        name: OPTIONS | (each if isinstance(each, dict) else {"control": each} if each else {})
        for name, each in cases.items()
    }
    record = provenance.record(SIGNALS.name, {}, root_seed=0, cases=options)
    made = SIGNALS.ordered(pa.Table.from_pylist(rows, SIGNALS.arrow))
    return made.replace_schema_metadata(provenance.encode(record))


def jump(rng, size):
    """A signal that is constant but for noise, higher by ``size`` from the start."""
    level = size + rng.standard_normal()
    return lambda at: np.full(len(at), level)


def small():
    """The smallest table that every score has an interval in."""
    return binormal(seeds=14, m=5, g=45, end=60, every=5)


def binormal(seeds=48, size=1.0, kinds=("shuffled",), start=0, more=None, g=G, **options):
    """Base runs and controls whose constant level is normal, ``size`` apart: AUROC is known."""
    rng = np.random.default_rng(start)
    rows = []
    for seed in range(seeds):
        for case in ("base", *kinds):
            signals = {"level": jump(rng, size if case == "base" else 0.0)}
            signals |= more(rng, case) if more else {}
            rows += run(case, seed, signals, g=g if case == "base" else None, **options)
    return table(rows, {"base": None} | dict.fromkeys(kinds, "base"))
