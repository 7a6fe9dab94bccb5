"""Which run a saved file is of, as its path or the options say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.options import INT32_MAX

UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
QUANTITY = r"\d+(?:\.\d+)?[kKmMbBgGtT]?"
# Words before the number of a step in a name; the first that is there counts.
STEPS = ("step", "iter|iteration", "checkpoint|ckpt", "epoch")
FIELDS = {"family": r"[^/]+?", "size": QUANTITY, "seed": QUANTITY, "step": QUANTITY}


@dataclass(frozen=True)
class FileName:
    """Family, size, seed and step in a path; None where it does not say."""

    family: str | None = None
    size: int | None = None
    seed: int | None = None
    step: int | None = None


def quantity(text: str) -> Fraction | None:
    """Read a number that may have a unit, 70m or 1.4b; None where it is none."""
    if not re.fullmatch(QUANTITY, text):
        return None
    number = text.rstrip("kKmMbBgGtT")
    return Fraction(number) * UNITS[text[len(number) :].lower()]


def whole(text: str) -> int | None:
    """Read a whole number that fits the column it is for; None where it is none."""
    found = quantity(text)
    return int(found) if found is not None and found.denominator == 1 else None


def step_in(place: str) -> int | None:
    """Return the step that a folder or a revision is named after: checkpoint-100, step1k, 100."""
    name = Path(place).absolute().name.rpartition("@")[2]
    numbers = [rf"(?<![a-z])(?:{word})s?[-_=]?({QUANTITY})(?![a-z0-9.])" for word in STEPS]
    for number in (rf"^({QUANTITY})$", *numbers):
        if found := re.search(number, name, re.IGNORECASE):
            step = whole(found[1])
            return step if step is not None and step <= INT32_MAX else None
    return None


def matcher(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: fields in braces, ``*`` for anything within a folder's or file's name."""
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{[^{}]*\}|\*)", pattern):
        name = part[1:-1]
        if part == "*":
            parts.append("[^/]*")
        elif not part.startswith("{"):
            if "{" in part or "}" in part:
                raise OptionError("pattern", f"has a brace that stands alone: {pattern!r}")
            parts.append(re.escape(part))
        elif name not in FIELDS:
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise OptionError("pattern", f"knows the fields {known}, got {part!r}")
        elif name in seen:
            raise OptionError("pattern", f"has {part} twice")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>{FIELDS[name]})")
    if not seen:
        raise OptionError("pattern", "needs a field in braces, as in 'step{step}.safetensors'")
    return re.compile(f"(?:^|/){''.join(parts)}$")


def full(path: str) -> str:
    """Return the text of a path, or of a name on the Hub, that a pattern is matched against."""
    return path if "://" in path else Path(path).absolute().as_posix()


def read_name(path: str, pattern: re.Pattern[str], shown: str) -> FileName:
    """Read the fields out of the end of a path."""
    found = pattern.search(full(path))
    if found is None:
        raise TableError(f"{path} does not match --pattern {shown!r}, which must fit its end")
    numbers = {}
    for name, text in found.groupdict().items():
        if name != "family":
            numbers[name] = checked(path, name, text)
    return FileName(found.groupdict().get("family"), **numbers)


def checked(path: str, name: str, text: str) -> int:
    """Turn a number in a path into one of its column."""
    number = whole(text)
    option = {"seed": "run-seed"}.get(name, name)
    if number is None or not (name == "size") <= number <= INT32_MAX:
        raise TableError(
            f"{path}: {name} {text} must be a whole number up to {INT32_MAX}, which is all its "
            f"column can hold; put * in its place and give --{option}"
        )
    return number
