"""The text that is learnt: sums in English words, written anew, the same on every machine.

    forty-two plus seven is forty-nine.

A tenth of the pairs (a, b) is never seen in training: to continue those right the model must add.
"""

from __future__ import annotations

import random

import torch

CONTEXT, BATCH = 48, 16
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


def tokens() -> tuple[int, torch.Tensor, torch.Tensor]:
    """Return the number of different characters, and both texts as numbers of characters."""
    texts = corpus()
    characters = sorted(set("".join(texts)))
    known, held_out = (torch.tensor([characters.index(c) for c in text]) for text in texts)
    return len(characters), known, held_out


def batches(text: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw windows of the text, and what follows each of their characters."""
    starts = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=generator)
    windows = torch.stack([text[start : start + CONTEXT + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]
