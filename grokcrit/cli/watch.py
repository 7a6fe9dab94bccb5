"""``grokcrit watch``."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from grokcrit.base.stage_options import WatchOptions
from grokcrit.cli.command import Call, command, inputs
from grokcrit.cli.shell import PIPE_WIDTH, Shell, on_terminal

if TYPE_CHECKING:
    from grokcrit.stages.watch import View, Watched

# Seconds after which a key or another size of the terminal is noticed, and between two drawings
# of the same numbers, whose ages grow.
TICK, REDRAW = 0.1, 1.0


@command(
    WatchOptions,
    seed="Root seed of the interval of D.",
    threads="Accepted as everywhere; reading uses one.",
)
def watch(
    call: Call,
    folder: Annotated[
        list[Path], inputs("FOLDER...", "Folders of a recorder's parts, or single parts.")
    ],
) -> None:
    """Watch running trainings: density over its null, accuracy, and D(t) as they grow.

    Reads the parts that recorders write, while they write, and waits for folders that are not there
    yet. Ctrl-C ends it, with exit code 0. Where standard output is not a terminal it prints the
    view once.

    \b
    Example:
      grokcrit watch parts/
      grokcrit watch small/ large/ --interval 10
      grokcrit watch parts/ --json
    """
    options = WatchOptions(**call.options)

    from grokcrit.cli.picture import lines
    from grokcrit.stages.watch import Watched, watch_summary

    watched, seen = Watched(folder, call.seed), on_terminal(sys.stdout)
    if options.once or call.shell.quiet or call.shell.as_json or not seen:
        view = first_look(watched, call.shell)
    else:
        view = live(watched, options.interval, call.shell)
    now = time.time()
    width = shutil.get_terminal_size().columns if seen else PIPE_WIDTH
    text = "\n".join(text for text, _ in lines(view, now, width))
    call.shell.show(watch_summary(view, now), None, text)


def first_look(watched: Watched, shell: Shell, ended: Callable[[], bool] = lambda: False) -> View:
    """Read all parts, which are read again only when they change."""
    with shell.progress("reading", "parts") as progress:
        return watched.look(ended, progress)


def live(watched: Watched, interval: float, shell: Shell) -> View:
    """Draw the view again and again until Ctrl-C; return the last one."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from grokcrit.cli.picture import lines

    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    # Not as an exception: one in the middle of a drawing could leave the terminal as it is then.
    signal.signal(signal.SIGINT, end)
    console = Console(force_terminal=True, highlight=False)
    view = first_look(watched, shell, lambda: ended)
    size, due, old = console.size, time.monotonic() + interval, 0.0
    # Not redirected: what Rich puts in the place of standard output has no encoding to ask for.
    with Live(
        console=console,
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as drawing:
        while not ended:
            if time.monotonic() >= due:
                view = watched.look(lambda: ended)
                due, old = time.monotonic() + interval, 0.0
            if console.size != size or time.monotonic() >= old:
                size, old = console.size, time.monotonic() + REDRAW
                told = lines(view, time.time(), *size, shell.heard(view.warnings))
                texts = [Text(text, style, no_wrap=True, overflow="crop") for text, style in told]
                drawing.update(Group(*texts), refresh=True)
            time.sleep(TICK)
    return view
