"""Panels that belong to no question, and what all panels share.

``panel`` says what a panel and a figure are, ``sources`` opens the tables and picks one case,
``style`` is all they share of looks; the other modules draw. ``stages/plot.py`` composes.
"""

from __future__ import annotations

from grokcrit.base.vocabulary import OF_SIGNALS, OF_SWEEPS, QUESTIONS

# The figures of the source, composed in stages/plot.py.
SOURCE: tuple[str, ...] = ("fig1", "fig2", "fig3")
# Modules and what they draw: PANELS, and figures of several panels.
MODULES: dict[str, tuple[str, ...]] = {
    "learning": ("trajectory", "grokking", "gini"),
    "flow": ("dimension", "nulls"),
    "sizes": ("ccdf", "collapse", "scaling"),
    "resampling": ("bootstrap", "leave-one-out"),
    "grid": ("robustness",),
}
# Every figure and panel that `grokcrit plot` draws.
NAMES = (
    *SOURCE,
    *(
        name
        for group in (MODULES, OF_SIGNALS, OF_SWEEPS, QUESTIONS)
        for drawn in group.values()
        for name in drawn
    ),
)
