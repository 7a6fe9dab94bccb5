"""The figure of the benchmark: time of one cascade against N, a line a way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from grokcrit.plot import style
from grokcrit.plot.panel import PAGE

LINES: dict[str, dict[str, Any]] = {
    "grokcrit": {"color": style.BLUE, "linestyle": "-", "marker": "o", "linewidth": 1.8},
    "grokcrit, float32": {"color": style.CYAN, "linestyle": (0, (5, 1)), "marker": "v"},
    "numpy frontier": {"color": style.RED, "linestyle": "--", "marker": "s"},
    "scipy.sparse": {"color": style.PURPLE, "linestyle": "-.", "marker": "D"},
    "torch index_add_": {"color": style.YELLOW, "linestyle": (0, (1, 1)), "marker": "^"},
    "networkx loops": {"color": style.INK, "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "x"},
    "bound: random updates": {**style.GAUSSIAN, "marker": ""},
}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the times of the cascades; bars from the fastest to the slowest round."""
    sizes = {name: {r["n"]: r for r in rows if r["way"] == name} for name in LINES}
    lines = {name: found for name, found in sizes.items() if found}
    # The legend stands as the lines do at the largest size that all ways have.
    common = max(set.intersection(*(set(found) for found in lines.values())))
    slowest_first = sorted(lines, key=lambda name: -lines[name][common]["seconds_median"])
    with style.context():
        figure = Figure(figsize=(PAGE, 3.8), dpi=200)
        ax = figure.add_subplot()
        figure.subplots_adjust(left=0.08, right=0.76, bottom=0.11, top=0.97)
        ax.set_yscale("log")
        for name in slowest_first:
            x, mine = list(lines[name]), list(lines[name].values())
            ax.plot(
                x,
                [r["seconds_median"] for r in mine],
                label=name.replace(": ", ":\n"),
                **LINES[name],
            )
            low, high = [r["seconds_min"] for r in mine], [r["seconds_max"] for r in mine]
            ax.vlines(x, low, high, color=LINES[name]["color"], linewidth=0.7)
        style.size_axis(ax)
        ax.set_xlabel("$N$ (nodes)")
        ax.set_ylabel("time of one cascade (s)")
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=3.5)
        figure.savefig(path)
