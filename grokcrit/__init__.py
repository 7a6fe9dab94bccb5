"""Avalanche statistics of gradients: is grokking a dimensional phase transition?

Everything public loads on first use, so that ``import grokcrit`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from grokcrit._version import __version__

if TYPE_CHECKING:
    from grokcrit import report as report
    from grokcrit.cascades.graphs import Graph as Graph
    from grokcrit.cascades.graphs import graph as graph
    from grokcrit.cascades.single import CascadeResult as CascadeResult
    from grokcrit.cascades.single import cascade as cascade
    from grokcrit.stages.avalanche import avalanche as avalanche
    from grokcrit.stages.bootstrap import bootstrap as bootstrap
    from grokcrit.stages.diagnose import diagnose as diagnose
    from grokcrit.stages.fss import fss as fss
    from grokcrit.stages.ingest import ingest as ingest
    from grokcrit.stages.robustness import robustness as robustness
    from grokcrit.stages.simulate import simulate as simulate
    from grokcrit.stages.train import train as train
    from grokcrit.stages.warn import warn as warn
    from grokcrit.sweeps.sweep import sweep as sweep

_HOME = {
    "Graph": "grokcrit.cascades.graphs",
    "graph": "grokcrit.cascades.graphs",
    "CascadeResult": "grokcrit.cascades.single",
    "cascade": "grokcrit.cascades.single",
    "train": "grokcrit.stages.train",
    "ingest": "grokcrit.stages.ingest",
    "avalanche": "grokcrit.stages.avalanche",
    "fss": "grokcrit.stages.fss",
    "bootstrap": "grokcrit.stages.bootstrap",
    "diagnose": "grokcrit.stages.diagnose",
    "robustness": "grokcrit.stages.robustness",
    "simulate": "grokcrit.stages.simulate",
    "sweep": "grokcrit.sweeps.sweep",
    "warn": "grokcrit.stages.warn",
}
# A module, loaded as `grokcrit.report` is first named: its function has its own name.
_MODULES = ("report",)
__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in _MODULES:
        return importlib.import_module(f"grokcrit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'grokcrit' has no attribute {name!r}")
    # Remembered: the next use does not come here, which costs 6 microseconds.
    found = globals()[name] = getattr(importlib.import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
