"""A command: what its options class declares, as Typer wants it, and what was typed."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from grokcrit.base.errors import OptionError
from grokcrit.base.options import Option, by_group, options_of
from grokcrit.base.summary import Summary
from grokcrit.cli.shell import Shell

NOTHING_RANDOM = "Accepted as everywhere; nothing here is random."
DRAWING = "Accepted as everywhere; drawing uses one."
NUMBERS = {int: "a whole number", float: "a number"}
# Values of a range; more are a mistake.
MOST = 100_000


@dataclass(frozen=True)
class Call:
    """A command line as it was typed."""

    shell: Shell
    out: Path
    options: dict[str, Any]  # of the stage: those given, and the seed
    seed: int
    means: dict[str, Any]  # threads and, where there are graphs, cache: they change no number

    def run_stage(
        self,
        stage: Callable[..., Any],
        summarise: Callable[[Any], Summary],
        inputs: Sequence[Path],
    ) -> Any:
        """Run a stage that reads tables and makes one, show its summary, and return the table."""
        from grokcrit.tables import files, writing

        writing.check_output(self.out, inputs)
        # Opened first: a folder that cannot be written is known before the work is done.
        with files.replacing(self.out) as file:
            with self.shell.progress(stage.__name__, "tasks") as progress:
                table = stage(inputs, progress=progress, **self.means, **self.options)
            writing.fill(file, [table], table.schema)
        self.shell.show(summarise(table), self.out)
        return table


def command(
    *kinds: type,
    out: str | None = None,
    writes: str = "Table to write.",
    seed: str = "Root seed of everything random.",
    threads: str = "Threads to use.  [default: all cores]",
    cache: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function into a command: it is called with a Call and its own parameters.

    ``kinds`` are the options classes of the stage, of ``train`` one per task; ``out`` is the
    default output, None where the function declares it; ``writes``, ``seed`` and ``threads`` are
    the help of these options; ``cache``: whether the command makes graphs.
    """
    known = by_name(kinds)
    random = any("seed" in options_of(kind) for kind in kinds)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        @functools.wraps(function)
        def typed(**values: Any) -> None:
            read = {name: value_of(first(each), values[name]) for name, each in known.items()}
            given = {name: value for name, value in read.items() if value is not None}
            call = Call(
                Shell(values["quiet"], values["json"], values["silence"]),
                values.get("out") or Path(),
                given | ({"seed": values["seed"]} if random else {}),
                values["seed"],
                {name: values[name] for name in ("threads", "cache") if name in values},
            )
            function(call, **{parameter.name: values[parameter.name] for parameter in own})

        parameters = [parameter_of(each, len(kinds)) for each in known.values()]
        parameters += own + common(out, writes, seed, threads, cache)
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        typed.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
        typed.__annotations__ = {each.name: each.annotation for each in keywords}
        return typed

    return decorate


def by_name(kinds: Sequence[type]) -> dict[str, dict[str, Option]]:
    """Return for each option, in the order of the help, what each task declares of it."""
    found: dict[str, dict[str, Option]] = {}
    for kind in kinds:
        for name, option in options_of(kind).items():
            found.setdefault(name, {})[getattr(kind, "task", "")] = option
    ordered = by_group(map(first, found.values()))
    return {each.name: found[each.name] for each in ordered if each.name != "seed"}


def first(declared: dict[str, Option]) -> Option:
    """Return an option as the first task declares it."""
    return next(iter(declared.values()))


def parameter_of(declared: dict[str, Option], tasks: int) -> inspect.Parameter:
    """Return the parameter of an option that some of the tasks have; None where not given."""
    choices = tuple(dict.fromkeys(c for each in declared.values() for c in each.choices))
    option = dataclasses.replace(first(declared), choices=choices)
    defaults = {task: each.shown_default for task, each in declared.items()}
    default = first(declared).shown_default
    if len(set(defaults.values())) > 1 and option.name != "task":
        default = "; ".join(f"{task} {text}" for task, text in defaults.items())
    meaning = option.meaning
    if len(declared) < tasks:
        meaning = f"{', '.join(declared)}: {option.phrase}"
    ranges = " or a..b" if option.kind is int else ""
    repeatable = f" Repeatable or a,b{ranges}." if option.many and not option.raw else ""
    shown = f"  [default: {default}]" if default else ""
    flag = f"--{option.name.replace('_', '-')}"
    if option.default is True:
        flag += f"/--no-{option.name.replace('_', '-')}"
    info = typer.Option(
        *(option.names or (flag,)),
        help=f"{meaning}.{repeatable}{shown}",
        metavar=option.metavar or (f"<{option.kind.__name__}>" if option.many else None),
        autocompletion=completion(choices) if choices else None,
    )
    kind: Any = list[str] if option.many else option.kind
    return parameter(option.name, kind | None, info, None)


def parameter(name: str, kind: Any, info: Any, default: Any) -> inspect.Parameter:
    """Return a parameter as Typer reads it."""
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def completion(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the function that completes one of some names."""

    def complete(start: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(start)]

    return complete


def output(help: str, *names: str) -> Any:
    """Return the option of an output, by default ``-o``."""
    flags = names or ("-o", "--out")
    return typer.Option(*flags, readable=False, callback=named, help=help)


def inputs(metavar: str, help: str) -> Any:
    """Return the argument of files that are read."""
    return typer.Argument(metavar=metavar, readable=False, help=help)


# The argument of the stages that fit.
Avalanches = Annotated[
    list[Path], inputs("AVALANCHE...", "Avalanche tables, or folders of their parts.")
]


def common(
    out: str | None, writes: str, seed: str, threads: str, cache: bool
) -> list[inspect.Parameter]:
    """Return the parameters that every command has."""
    option = typer.Option
    kept = option(
        "--cache/--no-cache", help="Keep random graphs on disk, and take them from there."
    )
    quiet = option("--quiet", help="Print no summary, warning or progress.")
    as_json = option("--json", help="Print the summary as one JSON object.")
    silenced = option(metavar="<id>", help="Do not print the warning of this id (repeatable).")
    debug = option("--debug", help="Show a traceback when something fails.")
    return [
        parameter("seed", int, option(help=seed), 0),
        *([parameter("out", Path, output(writes), Path(out))] if out else []),
        parameter("threads", int | None, option(help=threads), None),
        *([parameter("cache", bool, kept, True)] if cache else []),
        parameter("quiet", bool, quiet, False),
        parameter("json", bool, as_json, False),
        parameter("silence", list[str] | None, silenced, None),
        parameter("debug", bool, debug, False),
    ]


def named(out: Path | None) -> Path | None:
    """Return an output's name; raise OptionError for ``-``, which asks for standard output."""
    if str(out) == "-":
        raise OptionError(
            "out",
            "must be a name, got '-': tables and figures cannot be streamed; --json prints the "
            "summary to standard output",
        )
    return out


def value_of(option: Option, value: Any) -> Any:
    """Return what was given for an option, lists as tuples; None where nothing was."""
    if not option.many:
        return value
    if not value:
        return None
    if option.raw:
        return tuple(value)
    words = (word.strip() for each in value for word in each.split(","))
    return tuple(one for word in words for one in numbers(option, word))


def numbers(option: Option, word: str) -> Sequence[Any]:
    """Return the values of a word of a list, as its option takes them: one, or a range."""
    try:
        first, dots, last = word.partition("..")
        if not dots or option.kind is not int:
            return [option.kind(word)]
        found = range(int(first), int(last) + 1)
    except ValueError:
        several = "1,2,3 or 1..3" if option.kind is int else "1,2,3"
        raise OptionError(
            option.name, f"must be {NUMBERS[option.kind]}, or several as {several}; got {word!r}"
        ) from None
    if not 0 < len(found) <= MOST:
        raise OptionError(option.name, f"must be a range of 1 to {MOST} values, got {word!r}")
    return found
