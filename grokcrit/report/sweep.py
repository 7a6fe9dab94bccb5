"""What a report says of a sweep, in words."""

from __future__ import annotations

import pyarrow as pa

from grokcrit.base.vocabulary import DIFFERENCE
from grokcrit.questions import effects, judge
from grokcrit.questions.effects import Points
from grokcrit.questions.question import Answer
from grokcrit.questions.rows import shown

# What of D a choice moves, in words.
MOVED = {"pre": "D before grokking", "post": "D after grokking", DIFFERENCE: "the change"}


def answers(table: pa.Table) -> list[Answer]:
    """Answer where the crossing exists, and what moves D."""
    points = effects.points_of(table, effects.first_observable(table), "mean")
    if not points.keys:
        return []
    return [crossing(points), *([movers(points)] if points.factors else [])]


def crossing(points: Points) -> Answer:
    """Say at how many points D(t) crosses its null, and at which values of each option."""
    clear, there, asked = effects.crossed(points, points.asked)
    question = "Over a sweep: where does D(t) rise through the Gaussian null?"
    if not asked:
        why = "The sweep holds no Gaussian null of the same runs."
        return Answer("sweep-crossing", question, "not asked", (why,))
    because = [
        f"At {there} of {asked} points D(t) ends above the null after having been below it; at "
        f"{clear} of them it was below, and ends above, by more than its interval."
    ]
    never = effects.crossed(points, ~points.grokked)
    if never[2]:
        because.append(
            f"At {never[2]} points no run groks; D(t) crosses at {never[1]} of them, clearly at "
            f"{never[0]}: a crossing there has nothing to do with grokking."
        )
    if points.much_cut.any():
        because.append(effects.told_cut(points))
    for factor in points.factors if there else ():
        told = []
        for k, level in enumerate(factor.levels):
            mine = effects.crossed(points, factor.level_of == k)
            told.append(f"{level}: {mine[1]} ({mine[0]} clearly) of {mine[2]}")
        because.append(f"By {factor.name}: {'; '.join(told)}.")
    word = f"at {there} of {asked} points, clearly at {clear}"
    return Answer("sweep-crossing", question, word, tuple(because))


def movers(points: Points) -> Answer:
    """Say which option moves D most, and what no option has alone."""
    because, words = [], []
    for window, name in MOVED.items():
        response = points.exponent[window]
        found = sorted(
            (
                (effects.share(f, response), effects.p_of_share(points, f, window), f.name)
                for f in points.factors
            ),
            key=lambda each: -each[0] if each[0] == each[0] else 0.0,
        )
        known = [each for each in found if each[1] == each[1]]
        if not known:
            continue
        told = ", ".join(f"{n} {shown(share, '.0%')} (p = {p:.2g})" for share, p, n in known)
        both = effects.together(points.factors, response)
        rest = "" if both != both else f"; only together {shown(both, '.0%')}"
        couples = [f"{n} {shown(s, '.0%')}" for s, n in effects.pairs(points.factors, response)]
        rest += f", most of it {', '.join(couples[:2])}" if rest and len(couples) > 1 else ""
        count = int((response == response).sum())
        because.append(f"Of the variance of {name} between {count} points: {told}{rest}.")
        mover = f"{known[0][2]}" if judge.apart(known[0][1]) else "none clearly"
        words.append(f"{name}: {mover}")
    because.append(
        "p is of one option alone, all others counting as noise; of an option of training, each "
        "training counts once."
    )
    return Answer(
        "sweep-movers",
        "Over a sweep: which choice moves D most?",
        "; ".join(words) or "none",
        tuple(because),
    )
