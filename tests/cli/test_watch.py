"""`watch` as typed: on terminals of two widths while two runs write, in a pipe, as JSON."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyarrow.parquet as pq
import pytest

from grokcrit.cli.picture import BARS
from tests.shell import COMMAND, ENVIRONMENT, grokcrit

# Replaces the first part of one run by a longer one, ten times a second, as a recorder does.
WRITER = """
import sys, time
from pathlib import Path
import pyarrow.compute as pc, pyarrow.parquet as pq
from grokcrit.tables.writing import write
source, folder, width = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
table = pq.read_table(source)
table = table.filter(pc.and_(pc.equal(table["width"], width), pc.equal(table["seed"], 0)))
folder.mkdir(exist_ok=True)
path = folder / f"width-{width:06d}-seed-0000-gradient-step-0000000000.parquet"
while True:
    for step in sorted(set(table["epoch"].to_pylist())):
        rows = table.filter(pc.less_equal(table["epoch"], step))
        write(path, [rows], rows.schema)
        time.sleep(0.1)
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# On the alternate screen every drawing starts at the top left.
HOME, LEFT, CURSOR = "\x1b[H", "\x1b[?1049l", "\x1b[?25h"


class Terminal:
    """A command on a pseudo-terminal of some columns."""

    def __init__(self, arguments, cwd, columns):
        self.parent, self.child = pty.openpty()
        self.resize(columns)
        self.attributes = termios.tcgetattr(self.child)
        unset = ("CI", "COLUMNS", "LINES")
        environment = {k: v for k, v in ENVIRONMENT.items() if k not in unset}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            stdin=self.child,
            stdout=self.child,
            stderr=self.child,
            env={**environment, "TERM": "xterm-256color"},
        )
        self.seen = ""

    def resize(self, columns):
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))

    def until(self, condition, patience=60):
        """Read until a condition holds."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, self.seen[-3000:]
            if select.select([self.parent], [], [], 0.1)[0]:
                self.seen += os.read(self.parent, 65536).decode(errors="replace")

    def frames(self):
        """What was drawn, without colours, one list of lines a drawing."""
        drawn = self.seen.partition(LEFT)[0].split(HOME)[2:]
        return [CONTROL.sub("", each).replace("\r", "").split("\n") for each in drawn]

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.parent)
        os.close(self.child)


@pytest.fixture
def writers(chain, tmp_path):
    """Two runs that write at the time into a folder that is not there at first."""
    words = [sys.executable, "-c", WRITER, str(chain / "avalanche.parquet"), "parts"]
    begun = [subprocess.Popen([*words, width], cwd=tmp_path) for width in ("6", "16")]
    yield begun
    for each in begun:
        each.kill()
        each.wait()


@pytest.mark.parametrize(("columns", "other"), [(80, 160), (160, 80)])
def test_two_runs_that_write_at_the_time_are_watched(tmp_path, writers, columns, other):
    """Fault: a line folds, a resize is missed, Ctrl-C leaves the terminal without its cursor."""
    terminal = Terminal(["watch", "parts", "--interval", "0.1"], tmp_path, columns)
    try:
        terminal.until(lambda: terminal.seen.count("2 runs of 2 widths") > 3)
        drawn = len(terminal.frames()) - 1
        for frame in terminal.frames()[:-1]:
            assert max(map(len, frame)) == columns
        last = "\n".join(terminal.frames()[-2])
        assert re.search(r"^ +6 ", last, re.MULTILINE)
        assert re.search(r"^ +16 ", last, re.MULTILINE)
        assert set(last) & set(BARS)
        terminal.resize(other)
        terminal.until(lambda: len(terminal.frames()) > drawn + 8)
        assert max(map(len, terminal.frames()[-2])) == other
        assert all(each.poll() is None for each in writers)
        terminal.process.send_signal(signal.SIGINT)
        terminal.until(lambda: LEFT in terminal.seen and terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
        assert terminal.seen.rindex(CURSOR) > terminal.seen.rindex("\x1b[?25l")
        assert termios.tcgetattr(terminal.child) == terminal.attributes
        # The last view stays to be read and copied.
        terminal.until(lambda: "2 runs of 2 widths" in terminal.seen.partition(LEFT)[2])
        assert "warning" not in terminal.seen
        assert "Traceback" not in terminal.seen
    finally:
        terminal.close()


def test_a_signal_to_end_restores_the_terminal_too(tmp_path):
    """Fault: a job that is ended leaves its terminal on the alternate screen."""
    terminal = Terminal(["watch", "later"], tmp_path, 80)
    try:
        terminal.until(lambda: "later is not there yet" in terminal.seen)
        terminal.process.send_signal(signal.SIGTERM)
        terminal.until(lambda: LEFT in terminal.seen and terminal.process.poll() is not None)
        assert terminal.process.returncode == 143
        assert CURSOR in terminal.seen
    finally:
        terminal.close()


def test_in_a_pipe_the_view_is_printed_once(chain, tmp_path):
    """Fault: it goes on for ever in CI, or folds a run into two lines."""
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    source = [chain / "avalanche.parquet", tmp_path / "bad.parquet"]
    for arguments in (source, [*source, "--once"]):
        done = grokcrit("watch", *arguments, cwd=tmp_path)
        headline, _, header, *runs = done.stdout.splitlines()
        assert headline.startswith("6 runs of 3 widths, newest step 120; D of the mean size at")
        assert header.split()[:2] == ["width", "N"]
        assert [line.split()[0] for line in runs[:6]] == ["6", "6", "10", "10", "16", "16"]
        assert "\x1b" not in done.stdout
        assert done.stderr.startswith("warning [damaged]: ")
    quiet = grokcrit("watch", *source, "--quiet", cwd=tmp_path)
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert (
        grokcrit("watch", "later", cwd=tmp_path).stdout == "no runs yet: later is not there yet\n"
    )


def test_json_is_one_object_with_the_numbers(chain, tmp_path):
    """Fault: JSON waits for a terminal, or D is not the one of fss."""
    done = grokcrit("watch", chain / "avalanche.parquet", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert len(told["rows"]) == 6
    assert told["rows"][0]["density_over_null"] > 0
    (newest,) = told["more"][0]["rows"]
    (fit,) = (
        row
        for row in pq.read_table(chain / "fss.parquet").to_pylist()
        if (row["time"], row["window"]) == (120, "epoch")
        and (row["surrogate"], row["statistic"], row["observable"]) == ("none", "mean", "size")
    )
    assert newest["exponent"] == fit["exponent"]


def test_an_interval_must_be_a_time(tmp_path):
    """Fault: an interval of 0 keeps a core busy."""
    grokcrit("watch", "parts", "--interval", "0", cwd=tmp_path, code=2)
