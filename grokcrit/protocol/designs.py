"""Designs: which case is a control of which, and which of their runs are watched, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from grokcrit.protocol.runs import TIMES, Runs, Signal
from grokcrit.scaling.ensembles import Ints, Reals
from grokcrit.tasks.controls import CONTROL, WEIGHT_DECAY, decay, deciding, hardness, key_of, levels
from grokcrit.tasks.draws import drawn

# Task, case and field of a case.
Name: TypeAlias = tuple[str, str, str]
# Epochs before grokking from which an alarm is too late to be a warning.
GAP = 10
LATE, FEW, NO_DECAY = "late", "few", "no-decay"
BASE = -1
SHORT = "trained too short"


@dataclass(frozen=True)
class Design:
    """A case that can grok and the cases that are its controls."""

    base: Name
    controls: Mapping[Name, str]  # and the kind of each


@dataclass(frozen=True)
class Watch:
    """The runs of a design that count: base runs first, each leading a group of its controls."""

    seed: Ints  # (R,)
    group: Ints  # (R,): index of the base run with whose exposure a run is watched
    kind: Ints  # (R,): index among ``kinds``; BASE for runs that grok
    kinds: tuple[str, ...]
    lost: npt.NDArray[np.bool_]  # (R, kinds): whether a control of its group was left out
    memorised: Reals  # (R,)
    left: Reals  # (R,)
    grokked: Reals  # (R,): of controls NaN, or after their watch
    runs: tuple[Runs, ...]  # the cases that they are from
    place: tuple[tuple[int, int], ...]  # of each run: its case among ``runs``, its row there

    def of(self, chosen: npt.NDArray[np.bool_]) -> Watch:
        """Return some of the runs; a control without its base run goes, too."""
        chosen = chosen & chosen[self.group]
        renamed = np.cumsum(chosen) - 1
        found = {name: getattr(self, name)[chosen] for name in ("seed", "kind", "lost", *TIMES)}
        place = tuple(self.place[k] for k in np.flatnonzero(chosen))
        return replace(self, **found, group=renamed[self.group[chosen]], place=place)

    def signal(self, run: int, name: str) -> tuple[Signal, int] | None:
        """Return the signal of a run's case and its row there; None where the run has none."""
        case, row = self.place[run]
        found = self.runs[case].signals.get(name)
        return (found, row) if found is not None and found.there[row] else None

    @property
    def base(self) -> npt.NDArray[np.bool_]:
        """Which runs are base runs."""
        return np.equal(self.kind, BASE)


def designs_of(cases: Sequence[Runs]) -> list[Design]:
    """Return the designs among some cases, each by its base, with controls or without.

    A case names the one whose control it is, or shares all options with it but those that decide
    whether a run can generalise and the weight decay. Where a record tells of neither, cases that
    never grok are controls of those that do.
    """
    of: dict[Name, Name] = {}  # the base of a control
    named = {runs.name: runs for runs in cases}
    groups: dict[tuple[str, ...], list[Runs]] = {}
    unknown: list[Runs] = []
    for runs in cases:
        base = runs.options.get(CONTROL)
        if base is not None:
            of[runs.name] = (runs.task, str(base), runs.field)
        elif deciding(runs.task, runs.options):
            key = runs.task, runs.field, key_of(runs.task, runs.options)
            groups.setdefault(key, []).append(runs)
        else:
            unknown.append(runs)
    for members in groups.values():
        first = min(members, key=lambda each: (*rank(each), each.name))
        of |= {each.name: first.name for each in members if rank(each) > rank(first)}
    led = set(of.values())
    never = [each for each in unknown if each.name not in led and np.isnan(each.grokked).all()]
    for runs in unknown:
        if not np.isnan(runs.grokked).all() and runs.name not in led:
            of |= {e.name: runs.name for e in never if (e.task, e.field) == (runs.task, runs.field)}
    bases = [name for name in named if name not in of]
    return [
        Design(
            name,
            {other: kind_of(named[name], named[other]) for other in named if of.get(other) == name},
        )
        for name in bases
    ]


def rank(runs: Runs) -> tuple[tuple[float, ...], float]:
    """Return a sort key of a case: what can generalise comes first, with decay before without."""
    options = deciding(runs.task, runs.options)
    hard = tuple(
        0 if levels(runs.task, runs.options)[name] in each.learnable else value
        for (name, each), value in zip(
            options.items(), hardness(runs.task, runs.options), strict=True
        )
    )
    return hard, -decay(runs.options)


def kind_of(base: Runs, control: Runs) -> str:
    """Return the kind of a control: in what it differs from its base, or else its name.

    The values of deciding options with names, as ``shuffled`` labels; ``no-decay``; ``late``, with
    less weight decay or if most of its runs grok; ``few`` data. Less data with shuffled labels is
    no second difference: of many, they are not memorised.
    """
    known = deciding(base.task, base.options)
    # What is drawn compares as one seed draws it.
    own, other = (drawn(each.options, 0) for each in (base, control))
    values = [levels(base.task, each) for each in (own, other)]
    apart = {k: v for k, v in values[1].items() if k in known and v != values[0][k]}
    parts = [value for value in apart.values() if isinstance(value, str)]
    less = WEIGHT_DECAY in other and decay(other) < decay(own)
    grok = 2 * np.count_nonzero(~np.isnan(control.grokked)) > len(control.grokked)
    if not parts and ((less and decay(other) > 0) or (grok and not less)):
        return LATE
    if not parts and any(not isinstance(v, str) and v < values[0][k] for k, v in apart.items()):
        parts.append(FEW)
    if less and decay(other) == 0:
        parts.append(NO_DECAY)
    return "-".join(parts) or control.case


def watched(design: Design, cases: Mapping[Name, Runs]) -> tuple[Watch | None, Counter[Any]]:
    """Return the runs of a design that count, and how many do not: by kind and reason.

    A base run counts if it memorises and groks ``GAP`` epochs later or more; it is watched from
    memorising to ``GAP`` before grokking. A control counts if its partner, the base run of its
    width and seed, does, if it memorises, is trained as long after that as the partner is watched,
    and does not grok ``GAP`` epochs after that or sooner. It is watched as long as its partner.

    Returns
    -------
    Watch or None
        None where no base run counts.
    Counter
        Runs left out, by (kind of control or None, reason).
    """
    left_out: Counter[Any] = Counter()
    base = cases.get(design.base)
    if base is None:
        return None, left_out
    partner: dict[tuple[int, int], int] = {}
    place: list[tuple[int, int]] = []
    for row in range(len(base.seed)):
        if why := reason_of_base(base, row):
            left_out[None, why] += 1
        else:
            partner[int(base.width[row]), int(base.seed[row])] = len(place)
            place.append((0, row))
    if not place:
        return None, left_out
    group, kind = list(range(len(place))), [BASE] * len(place)
    kinds = tuple(dict.fromkeys(k for n, k in design.controls.items() if n in cases))
    runs = [base, *(cases[name] for name in design.controls if name in cases)]
    lost = np.zeros((len(place), len(kinds)), bool)
    for case, other in enumerate(runs[1:], 1):
        name = design.controls[other.name]
        for row, key in enumerate(zip(other.width.tolist(), other.seed.tolist(), strict=True)):
            first = partner.get(key)
            why = reason_of_control(base, -1 if first is None else place[first][1], other, row)
            if why:
                left_out[name, why] += 1
                if first is not None:
                    lost[first, kinds.index(name)] = True
                continue
            assert first is not None
            place.append((case, row))
            group.append(first)
            kind.append(kinds.index(name))
    times = {n: np.array([getattr(runs[c], n)[r] for c, r in place]) for n in TIMES}
    return (
        Watch(
            seed=np.array([runs[case].seed[row] for case, row in place]),
            group=np.array(group),
            kind=np.array(kind),
            kinds=kinds,
            lost=lost[group],
            runs=tuple(runs),
            place=tuple(place),
            **times,
        ),
        left_out,
    )


def reason_of_base(base: Runs, row: int) -> str:
    """Return why a base run does not count; nothing if it does."""
    m, g = base.memorised[row], base.grokked[row]
    if np.isnan(m):
        return "never memorises"
    if np.isnan(g):
        return "never groks"
    if g - GAP < m:
        return f"groks within {GAP} epochs of memorising"
    # A family whose fastest member ended before the others grokked.
    return SHORT if base.last[row] < g - GAP else ""


def reason_of_control(base: Runs, partner: int, control: Runs, row: int) -> str:
    """Return why a control does not count, given the row of its partner, -1 if none counts."""
    if partner < 0:
        return "no base run of its width and seed counts"
    m, g = control.memorised[row], control.grokked[row]
    end = m + base.grokked[partner] - base.memorised[partner]
    if np.isnan(m):
        return "never memorises"
    if g <= end:
        return "groks within the watch"
    return SHORT if control.last[row] < end - GAP else ""
