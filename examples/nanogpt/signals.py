"""Print the signals of a recorded run: first and last value, and what each costs.

python signals.py build-signals/parts/signals
"""

from __future__ import annotations

import sys

import pandas as pd


def main() -> None:
    """Read the parts, print one line per signal."""
    rows = pd.read_parquet(sys.argv[1]).dropna(subset="value").sort_values("epoch")
    step = 1e3 * rows["training_seconds"].median()
    signals = rows.groupby("signal")
    shown = signals["value"].agg(["first", "last"])
    shown["ms"] = 1e3 * signals["seconds"].median()
    shown["share"] = 100 * shown["ms"] / step
    formats = {"ms": "{:.2f}".format, "share": "{:.1f} %".format}
    print(shown.to_string(float_format="{:.4g}".format, formatters=formats, na_rep=""))
    print(f"share: of a step of the training, {step:.1f} ms")


if __name__ == "__main__":
    main()
