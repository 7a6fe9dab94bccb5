"""What commands say is true, and where nobody listens they work all the same."""

import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import grokcrit as library
from grokcrit.stages.fss import fss_summary
from tests.shell import COMMAND, ENVIRONMENT, grokcrit, sentence
from tests.unit.synthetic import regular_rows, row, table

BACKEND = {"MPLBACKEND": "module://no_such_package.backend_inline"}


def warned(summary, name):
    return [notice.text for notice in summary.warnings if notice.id == name]


def shell(line, cwd):
    done = subprocess.run(["bash", "-c", line], cwd=cwd, env=ENVIRONMENT, check=False)
    return done.returncode


def test_the_backend_of_a_notebook_does_not_matter(chain, tmp_path):
    """Fault: MPLBACKEND names a package that is not here, and every figure is an internal error."""
    tables = [chain / "avalanche.parquet", chain / "fss.parquet"]
    grokcrit("plot", "fig2", *tables, "-o", "x.png", cwd=tmp_path, env=BACKEND)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_where_the_reader_of_both_streams_has_gone_the_work_is_done(chain, tmp_path):
    """Fault: exit 1 although the table is there; Rich and Click end the process themselves."""
    command = " ".join([*COMMAND, "fss", str(chain / "avalanche.parquet")])
    for k, end in enumerate(("2>&1 | true", "| true", "2>&1 >&- | true")):
        out = f"{k}.parquet"
        assert shell(f"{command} -o {out} {end}; exit ${{PIPESTATUS[0]}}", tmp_path) == 0, end
        assert pq.read_table(tmp_path / out).num_rows > 0
    line = " ".join(COMMAND)
    assert shell(f"{line} fss --help | true; exit ${{PIPESTATUS[0]}}", tmp_path) == 0
    assert shell(f"{line} fss --no-such 2>&1 | true; exit ${{PIPESTATUS[0]}}", tmp_path) == 2
    assert shell(f"{line} fss missing 2>&1 | true; exit ${{PIPESTATUS[0]}}", tmp_path) == 1


def test_a_help_text_that_cannot_be_written_is_no_internal_error(tmp_path):
    """Fault: a full disk is reported as a fault of grokcrit."""
    line = f"{' '.join(COMMAND)} train --help > /dev/full 2> said"
    assert shell(line, tmp_path) == 1
    assert (tmp_path / "said").read_text().startswith("grokcrit: cannot write to standard output")


COMMANDS = {
    "train": [],
    "ingest": ["x.npy"],
    "avalanche": ["x.parquet"],
    "fss": ["x.parquet"],
    "bootstrap": ["x.parquet"],
    "diagnose": ["x.parquet"],
    "robustness": ["x.parquet"],
    "warn": ["x.parquet"],
    "sweep": ["x.toml"],
    "plot": ["fig1", "x.parquet"],
    "report": ["."],
    "reproduce": [],
    "simulate": ["oslo"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_dash_is_no_output(tmp_path, name):
    """Fault: a file or a folder named -, where standard output was asked for."""
    said = sentence(grokcrit(name, *COMMANDS[name], "-o", "-", cwd=tmp_path, code=2))
    assert "--out" in said
    assert not list(tmp_path.iterdir())


def test_the_last_lines_of_the_help_are_lines(tmp_path):
    """Fault: two commands flow into one paragraph and cannot be copied."""
    lines = grokcrit("--help", cwd=tmp_path).stdout.splitlines()
    assert any(line.strip().endswith("grokcrit reproduce -o results/") for line in lines)
    assert any(line.strip().endswith("grokcrit sweep SWEEP.toml -o sweep/") for line in lines)


def test_every_avalanche_is_counted_once_whatever_is_observed():
    """Fault: 90 of 360 avalanches are quiet, of 120."""
    rows = [
        row(w, s, e, [] if e == 0 else [w], 10, truncated=e == 30)
        for w in (3, 5, 9, 14)
        for s in range(3)
        for e in range(0, 40, 10)
    ]
    for observable in ("size", ("size", "excess", "branching"), ("branching", "size")):
        said = fss_summary(library.fss(table(rows), observable=observable, resamples=5))
        assert warned(said, "quiet")[0].startswith("12 of 48 ")
        assert warned(said, "truncated")[0].startswith("12 of 48 ")


def test_a_null_of_the_same_runs_is_not_said_to_be_of_others():
    """Fault: a ratio that is undefined at one size makes the same runs strangers."""
    data = regular_rows(1)
    null = regular_rows(1, surrogate="gaussian")
    for each in null:  # quiet at one size: branching is not defined there
        if each["width"] == 3:
            each.update(size=0, area=0, duration=0, peak=0, activity=[], transported=0.0)
    said = fss_summary(library.fss(table(data + null), resamples=5))
    assert not warned(said, "null-of-other-runs")
    (text,) = warned(said, "null-of-other-sizes")
    assert "size mean aggregate" in text
    others = [{**each, "seed": each["seed"] + 50} for each in null if each["seed"] < 3]
    said = fss_summary(library.fss(table(data + others), resamples=5))
    assert warned(said, "null-of-other-runs")


def test_sizes_above_2_to_the_31_are_left_out_by_name(tmp_path):
    """Fault: the number of parameters does not fit the column of what is left out."""
    rows = regular_rows(0)
    known = dict(zip((3, 5, 9, 14, 30), (10**6, 10**8, 10**10, 10**12, 10**13), strict=True))
    large = table([{**each, "n_params": known[each["width"]]} for each in rows])
    found = library.bootstrap(large, observable="size", resamples=5)
    pq.write_table(found, tmp_path / "b.parquet")
    left_out = {
        r["index"]
        for r in pq.read_table(tmp_path / "b.parquet").to_pylist()
        if (r["kind"], r["part"]) == ("leave-one-out", "n_params")
    }
    assert left_out == set(known.values())


def test_a_collapse_that_does_not_exist_says_why_and_not_to_make_it(tmp_path):
    """Fault: the advice to run what was run."""
    rows = [r for r in regular_rows(0) if r["epoch"] >= 40]
    for each in rows:
        if each["width"] == 3:
            each.update(size=0, area=0, duration=0, peak=0, activity=[], transported=0.0)
    pq.write_table(table(rows), tmp_path / "a.parquet")
    options = ("--only", "collapse", "--observable", "size", "--resamples", "5")
    grokcrit("diagnose", "a.parquet", *options, cwd=tmp_path)
    done = grokcrit("plot", "collapses", "a.parquet", "diagnostics.parquet", cwd=tmp_path, code=1)
    said = sentence(done)
    assert "--only collapse" not in said
    assert "N = 13" in said


def test_sizes_without_a_sample_are_not_told_to_sample(tmp_path):
    """Fault: the advice --sample 1% where one tensor of one shape was taken of each size."""
    for size in (8, 16, 32):
        for step in (0, 1):
            np.savez(tmp_path / f"{size}-{step}.npz", head=np.arange(5.0) + step, w=np.ones(size))
    files = [path.name for path in sorted(tmp_path.glob("*.npz"))]
    pattern = ("--pattern", "{size}-{step}.npz")
    done = grokcrit("ingest", *files, *pattern, "--include", "head", cwd=tmp_path)
    assert "[equal-sizes]" in done.stderr
    assert "--sample" not in done.stderr
    done = grokcrit("ingest", *files, *pattern, "--sample", "4", cwd=tmp_path)
    assert "[equal-samples]" in done.stderr
    assert isinstance(pq.read_schema(tmp_path / "ingest.parquet"), pa.Schema)
