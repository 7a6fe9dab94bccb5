"""Designs: which cases are cells of one design, and which of their differences are estimated."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokcrit.questions import judge
from grokcrit.questions.family import Family
from grokcrit.scaling.ensembles import Ensemble
from grokcrit.tasks.controls import CONTROL, decay, deciding, hardness, key_of, levels

GENERALISING, DECAY, INTERACTION = "generalising", "decay", "interaction"
# Cells that can both generalise, as xor and xnor, should not differ.
EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Contrast:
    """A difference of cells: two of them, or the difference of two such differences."""

    kind: str
    cells: tuple[str, ...]  # a - b, or (a - b) - (c - d)
    how: str  # in which option they differ, and its values

    @property
    def name(self) -> str:
        """The difference in words, as the column ``part`` holds it."""
        pair = " - ".join(self.cells[:2])
        return pair if len(self.cells) == 2 else f"{pair}, with - without decay"


@dataclass(frozen=True)
class Design:
    """Cases of the same runs that share every option but those of the contrasts."""

    base: str  # the case that can generalise
    cells: dict[str, Family]  # by the name of the case, the base first
    contrasts: list[Contrast]
    matched: bool = True  # whether the records say in what the cells differ

    @functools.cached_property
    def partnered(self) -> dict[str, Family]:
        """The cells, every run with the grokking epoch of its partner, the base's run like it."""
        grok = self.cells[self.base].data.grok

        def with_partners(each: Ensemble) -> Ensemble:
            return dataclasses.replace(each, grok=grok)

        return {
            name: Family(
                with_partners(family.data),
                {null: list(map(with_partners, several)) for null, several in family.nulls.items()},
            )
            for name, family in self.cells.items()
        }


def designs(found: Sequence[Family]) -> list[Design]:
    """Return the designs among some cases; a case that fits none is in none.

    Cases that a training of grokcrit made are cells of a design where they share all options but
    those that decide whether a run can generalise, and the weight decay. A recorded case names the
    one whose control it is. Of others nothing is known but whether they grok.
    """
    groups: dict[Any, list[Family]] = {}
    for each in found:
        if each.data.of_training:
            groups.setdefault(runs_of(each.data), []).append(each)
    made = []
    for group in groups.values():
        made += by_options(group) + by_name(group) + by_outcome(group)
    return made


def unpaired(found: Sequence[Family], made: Sequence[Design]) -> list[Family]:
    """Return the cases that should be cells of a design but have other runs, or name no case."""
    inside = {id(family) for design in made for family in design.cells.values()}
    keys = {key_of(*recorded(family.data)) for design in made for family in design.cells.values()}
    return [
        each
        for each in found
        if id(each) not in inside
        and (
            CONTROL in each.data.trained
            or (deciding(*recorded(each.data)) and key_of(*recorded(each.data)) in keys)
        )
    ]


def recorded(data: Ensemble) -> tuple[str, dict[str, Any]]:
    """Return the task of a case and the options of its training, by which controls are found."""
    return str(data.case["task"]), data.trained


def runs_of(data: Ensemble) -> tuple[Any, ...]:
    """Return what the cells of a design share: runs and cascade options."""
    shared = tuple(data.case[name] for name in judge.FAMILY if name != "case")
    return *shared, *(getattr(data, name).tobytes() for name in ("sizes", "size_of", "seed"))


def by_options(group: Sequence[Family]) -> list[Design]:
    """Find designs by the options of the trainings."""
    alike: dict[str, list[Family]] = {}
    for each in group:
        if deciding(*recorded(each.data)):
            alike.setdefault(key_of(*recorded(each.data)), []).append(each)
    made = []
    for members in alike.values():
        base = min(
            members, key=lambda each: (hardness(*recorded(each.data)), -decay(each.data.trained))
        )
        others = [each for each in members if each is not base]
        others.sort(key=lambda each: (-decay(each.data.trained), hardness(*recorded(each.data))))
        cells = {each.data.case["case"]: each for each in (base, *others)}
        contrasts = contrasts_of([each.data for each in cells.values()])
        if contrasts:
            made.append(Design(base.data.case["case"], cells, contrasts))
    return made


def contrasts_of(cells: Sequence[Ensemble]) -> list[Contrast]:
    """Return the contrasts of the cells of one design; the first cell can generalise."""
    at = {
        (decay(each.trained), tuple(levels(*recorded(each)).items())): each.case["case"]
        for each in cells
    }
    decays = sorted({decay(each.trained) for each in cells}, reverse=True)
    answers = list(dict.fromkeys(tuple(levels(*recorded(each)).items()) for each in cells))
    first, others = answers[0], answers[1:]
    made = []
    for d in decays:
        for other in others:
            apart = [(name, a, b) for (name, a), (_, b) in zip(first, other, strict=True) if a != b]
            if len(apart) == 1 and {(d, first), (d, other)} <= set(at):
                how = "{}: {} against {}".format(*apart[0]) + (f", decay {d:g}" if d else "")
                option, _, level = apart[0]
                same = level in deciding(*recorded(cells[0]))[option].learnable
                kind = EQUIVALENT if same else GENERALISING
                made.append(Contrast(kind, (at[d, first], at[d, other]), how))
    for low in decays[1:]:
        for answer in answers:
            if {(decays[0], answer), (low, answer)} <= set(at):
                pair = at[decays[0], answer], at[low, answer]
                how = f"weight decay: {decays[0]:g} against {low:g}"
                made.append(Contrast(DECAY, pair, how))
    by_pair = {each.cells: each for each in made if each.kind == GENERALISING}
    for low in decays[1:]:
        for other in others:
            pairs = [tuple(at.get((d, a), "") for a in (first, other)) for d in (decays[0], low)]
            if all(pair in by_pair for pair in pairs):
                how = f"{by_pair[pairs[0]].how} less that at decay {low:g}"
                made.append(Contrast(INTERACTION, (*pairs[0], *pairs[1]), how))
    return made


def by_name(group: Sequence[Family]) -> list[Design]:
    """Find the designs of recorded cases, which name the case whose control they are."""
    named = {each.data.case["case"]: each for each in group}
    made = []
    for base, family in named.items():
        controls = [n for n, each in named.items() if each.data.trained.get(CONTROL) == base]
        if controls:
            cells = {base: family} | {name: named[name] for name in controls}
            contrasts = [
                Contrast(GENERALISING, (base, name), f"{name} is named a control of {base}")
                for name in controls
            ]
            made.append(Design(base, cells, contrasts))
    return made


def by_outcome(group: Sequence[Family]) -> list[Design]:
    """Pair each case that groks with every one that never does, where no record tells of them."""
    unknown = [
        f for f in group if not deciding(*recorded(f.data)) and CONTROL not in f.data.trained
    ]
    named = {each.data.trained.get(CONTROL) for each in group}
    never = {f.data.case["case"]: f for f in unknown if np.isnan(f.data.grok).all()}
    made = []
    for each in unknown:
        base = each.data.case["case"]
        if base in never or base in named or not never:
            continue
        contrasts = [
            Contrast(GENERALISING, (base, name), "differ in what no record tells") for name in never
        ]
        made.append(Design(base, {base: each} | never, contrasts, matched=False))
    return made
