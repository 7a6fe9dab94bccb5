"""The options of the cascade, which ``train`` and ``avalanche`` share."""

from __future__ import annotations

from typing import Annotated

import typer

from grokcrit.base.vocabulary import RULES, THRESHOLDS_OF, TOPOLOGIES

TOPOLOGY_HELP = f"Diffusion graph: {', '.join(TOPOLOGIES)}."
RULE_HELP = "What a toppling node keeps: diffuse (1 - alpha of its value) or reset (nothing)."

THRESHOLD_HELP = f"Entries whose percentile is the threshold: {', '.join(THRESHOLDS_OF)}."


def complete_topology(start: str) -> list[str]:
    """Complete a topology."""
    return [name for name in TOPOLOGIES if name.startswith(start)]


def complete_rule(start: str) -> list[str]:
    """Complete a rule."""
    return [name for name in RULES if name.startswith(start)]


Topology = Annotated[str, typer.Option(help=TOPOLOGY_HELP, autocompletion=complete_topology)]
Degree = Annotated[
    int, typer.Option(help="Mean degree of the graph; lattice has its own, at most 4.")
]
GraphSeed = Annotated[int, typer.Option(help="Seed of the graph.")]
Alpha = Annotated[float, typer.Option(help="Diffusion strength, above 0 and at most 1.")]
Quantile = Annotated[float, typer.Option(help="Percentile of abs(g) that is the threshold.")]
Rule = Annotated[str, typer.Option(help=RULE_HELP, autocompletion=complete_rule)]
ThresholdOf = Annotated[str, typer.Option(help=THRESHOLD_HELP)]
MaxSteps = Annotated[int, typer.Option(help="Steps after which a cascade is cut off.")]

INHERITED = "  [default: as trained]"
LISTED = "  Repeatable or a,b.  [default: as trained]"
Topologies = Annotated[
    list[str] | None,
    typer.Option(metavar="<str>", help=TOPOLOGY_HELP + LISTED, autocompletion=complete_topology),
]
DegreeOverride = Annotated[int | None, typer.Option(help="Mean degree." + INHERITED)]
GraphSeeds = Annotated[
    list[str] | None, typer.Option(metavar="<int>", help="Seed of the graph." + LISTED)
]
Alphas = Annotated[
    list[str] | None, typer.Option(metavar="<float>", help="Diffusion strength." + LISTED)
]
Quantiles = Annotated[
    list[str] | None, typer.Option(metavar="<float>", help="Threshold percentile." + LISTED)
]
Rules = Annotated[
    list[str] | None,
    typer.Option(metavar="<str>", help=RULE_HELP + LISTED, autocompletion=complete_rule),
]
ThresholdOfOverride = Annotated[str | None, typer.Option(help=THRESHOLD_HELP + INHERITED)]
MaxStepsOverride = Annotated[
    int | None, typer.Option(help="Steps after which a cascade is cut off." + INHERITED)
]
