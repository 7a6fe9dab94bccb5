"""Signals by name: those of grokcrit, and those that other packages name as entry points."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice

if TYPE_CHECKING:
    from grokcrit.signals.state import State

GROUP = "grokcrit.signals"
MODULES = ("cascade", "gradient", "weights", "loss", "curvature", "libraries")
# What tables of signals hold besides, and the rows that `warn` makes itself.
RESERVED = (
    *("train_accuracy", "test_accuracy", "D", "white-noise", "random-walk", "epoch"),
    *("since-memorising", "hyperparameters"),
)
# What `warn` scores as a signal, as a ceiling, or only uses to make another.
KINDS = ("signal", "ceiling", "ingredient")


@dataclass(frozen=True)
class Signal:
    """One signal.

    Attributes
    ----------
    name
        Its name in the tables, lower case with hyphens.
    of
        Returns the value from the state; raises UndefinedError, or returns NaN, for none.
    about
        Its definition in a few words.
    source
        The paper that uses or proposes it.
    kind
        ``signal``; ``ceiling``: it knows the task; ``ingredient``: not scored itself.
    needs
        The package that it needs; without it, ``all`` leaves the signal out.
    costly
        Whether it takes longer than some epochs of training: ``all`` leaves it out, and by name it
        is measured at every tenth epoch that the others are.
    """

    name: str
    of: Callable[[State], float]
    about: str
    source: str = ""
    kind: str = "signal"
    needs: str = ""
    costly: bool = False

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is installed."""
        return not self.needs or importlib.util.find_spec(self.needs) is not None


_known: dict[str, Signal] = {}


def signal(
    name: str,
    *,
    about: str,
    source: str = "",
    kind: str = "signal",
    needs: str = "",
    costly: bool = False,
) -> Callable[[Callable[[State], float]], Callable[[State], float]]:
    """Return a decorator that registers a function of the state as a signal.

    Parameters are the attributes of :class:`Signal`. Raise OptionError for an unknown kind.
    """
    check_choice("kind", kind, KINDS)

    def register(of: Callable[[State], float]) -> Callable[[State], float]:
        new = Signal(name, of, about, source, kind, needs, costly)
        check_name(new)
        _known[name] = new
        return of

    return register


def check_name(new: Signal) -> None:
    """Raise OptionError where the name of a signal is another's."""
    known = _known.get(new.name)
    if new.name in RESERVED or (known and known.of is not new.of and not reloaded(known, new)):
        raise OptionError("signals", f"{new.name} is a name of grokcrit's; give yours another")


def reloaded(old: Signal, new: Signal) -> bool:
    """Return whether two signals are one function, defined again as in a notebook."""
    places = [(each.of.__module__, each.of.__qualname__) for each in (old, new)]
    return places[0] == places[1]


@functools.cache
def own() -> dict[str, Signal]:
    """Return the signals of grokcrit by name, in the order of the documentation."""
    for module in MODULES:
        importlib.import_module(f"grokcrit.signals.{module}")
    return dict(_known)


def every() -> dict[str, Signal]:
    """Return all signals by name; those of entry points come last."""
    own()
    for point in importlib.metadata.entry_points(group=GROUP):
        point.load()
    return dict(_known)


def chosen(names: Sequence[str]) -> list[Signal]:
    """Return signals by name; ``all`` names those that are scored, installed and not costly.

    ``module:function`` names a function of a module that can be imported. Raise OptionError for an
    unknown name, or one whose package is missing.
    """
    found: dict[str, Signal] = {}
    for name in names:
        if name == "all":
            scored = [each for each in every().values() if each.kind != "ingredient"]
            found |= {each.name: each for each in scored if each.installed and not each.costly}
            continue
        each = imported(name) if ":" in name else one(name)
        if not each.installed:
            raise OptionError(
                "signals",
                f"{name} needs {each.needs}; install it with: pip install 'grokcrit[signals]'",
            )
        found[each.name] = each
    return list(found.values())


def one(name: str) -> Signal:
    """Return the signal of a name; raise OptionError for an unknown one."""
    known = own() if name in own() else every()
    check_choice("signals", name, ("all", *known))
    return known[name]


def imported(place: str) -> Signal:
    """Return the signal that a function of a module is; raise OptionError where it is none."""
    module, _, function = place.partition(":")
    if not module or not function:
        raise OptionError("signals", f"must be a name, or module:function; got {place!r}")
    try:
        of = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise OptionError("signals", f"cannot load {place}: {error}") from None
    for each in _known.values():
        if each.of is of:
            return each
    if not callable(of) or isinstance(of, type):
        raise OptionError("signals", f"{place} is no function of the state")
    # Not remembered: `all` means what is registered, whoever was asked for by place before.
    new = Signal(function.replace("_", "-"), of, (of.__doc__ or "").partition("\n")[0])
    check_name(new)
    return new


def kind_of(name: str) -> str:
    """Return the kind of a signal; one that is not installed here is a ``signal``."""
    known = own() if name in own() else every()
    return known[name].kind if name in known else "signal"
