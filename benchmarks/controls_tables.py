"""Print the tables of docs/controls.md from diagnostics of cells.

grokcrit diagnose avalanche.parquet --only controls --observable size
python benchmarks/controls_tables.py diagnostics.parquet
"""

from __future__ import annotations

import sys
from typing import Any

import pyarrow.parquet as pq

CLOCKS = ("epoch", "aligned", "relative", "memorised", "loss")
NAMES = ("epoch", "t - g", "t / g", "since memorising", "equal training loss")


def told(row: dict[str, Any] | None, form: str = "+.2f") -> str:
    """Write a number, its interval, and its adjusted p."""
    if row is None or row["value"] is None:
        return "-"
    ends = [row["ci_low"], row["ci_high"]]
    inside = "no interval" if None in ends else " to ".join(format(e, form) for e in ends)
    p = row["p"] if row["p_adjusted"] is None else row["p_adjusted"]
    levels = (
        f", {row['n']} level{'s' * (row['n'] > 1)}"
        if row["window"] == "loss" and row["time"] is None
        else ""
    )
    test = "" if p is None else f", p {p:.1g}"
    return f"{row['value']:{form}} ({inside}){test}{levels}"


def one(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """Return the row whose columns have those values, if there is one."""
    found = [r for r in rows if all(r[name] == value for name, value in wanted.items())]
    return found[0] if found else None


def main() -> None:
    """Print the tables of one file."""
    table = pq.read_table(sys.argv[1])
    rows = [r for r in table.to_pylist() if r["observable"] in ("size", None)]
    rows = [r for r in rows if r["statistic"] in ("mean", None)]
    cells = list(dict.fromkeys(r["part"] for r in rows if r["quantity"] == "grokked"))
    spans = [one(rows, quantity="cell-exponent", part=cells[0], window=w) for w in ("pre", "post")]
    before, after = (row["n"] if row else 0 for row in spans)
    print(f"| cell | memorised | grokked | D, {before} before | D, {after} after | change | jump |")
    print("|---|---|---|---|---|---|---|")
    for cell in cells:
        counts = [one(rows, quantity=q, part=cell) for q in ("memorised", "grokked")]
        numbers = [f"{r['value']:.0f} of {r['n']}" for r in counts if r]
        for window in ("pre", "post", "post - pre", "jump at grokking"):
            form = ".2f" if window in ("pre", "post") else "+.2f"
            row = one(rows, quantity="cell-exponent", part=cell, window=window)
            numbers.append(told(row, form))
        print(f"| {cell} | " + " | ".join(numbers) + " |")
    effects = {
        (r["quantity"], r["part"]): r["method"] for r in rows if r["quantity"].startswith("effect-")
    }
    print("\n| effect on D | after | change | " + " | ".join(NAMES) + " |")
    print("|---|---|---|" + "---|" * len(NAMES))
    for quantity, part in effects:
        place = {"quantity": quantity, "part": part, "time": None}
        windows = ("post", "post - pre", *CLOCKS)
        numbers = [told(one(rows, **place, window=w)) for w in windows]
        print(f"| {quantity.removeprefix('effect-')}: {part} | " + " | ".join(numbers) + " |")
    sizes = sorted({r["n_params"] for r in rows if r["n_params"] is not None})
    print("\n| density after, factor | " + " | ".join(f"N = {n}" for n in sizes) + " |")
    print("|---|" + "---|" * len(sizes))
    densities = [("cell-density", cell) for cell in cells]
    densities += [(q.replace("effect", "density"), part) for q, part in effects]
    for quantity, part in densities:
        place = {"quantity": quantity, "part": part, "window": "post", "time": None}
        numbers = [told(one(rows, **place, n_params=n), ".2f") for n in sizes]
        name = f"{part}, over the null" if quantity == "cell-density" else part
        print(f"| {name} | " + " | ".join(numbers) + " |")


if __name__ == "__main__":
    main()
