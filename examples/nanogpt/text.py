"""The text that is learnt: sums in English words, written anew, the same on every machine.

    forty-two plus seven is forty-nine.

A tenth of the pairs (a, b) is never seen in training: to continue those right the model must add.
"""

from __future__ import annotations

import random

ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
LARGEST = 49  # of a and b, so that every sum is below one hundred


def words(number: int) -> str:
    """Spell a number from 0 to 99."""
    if number < len(ONES):
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")


def corpus(sentences: int = 2000) -> tuple[str, str]:
    """Write the training text (about 80 kB) and the text held out, a tenth of the pairs."""
    rng = random.Random(0)
    pairs = [(a, b) for a in range(LARGEST + 1) for b in range(LARGEST + 1)]
    rng.shuffle(pairs)
    cut = len(pairs) // 10
    held_out, known = pairs[:cut], pairs[cut:]
    return written(rng.choices(known, k=sentences)), written(held_out)


def written(pairs: list[tuple[int, int]]) -> str:
    """Write a sentence a pair."""
    return "".join(f"{words(a)} plus {words(b)} is {words(a + b)}.\n" for a, b in pairs)
