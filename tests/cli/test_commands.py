"""The commands as typed: exit codes, both streams, files."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import time

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import SMALL
from tests.shell import COMMAND, ENVIRONMENT, grokcrit, sentence, writes_into

STAGES = ("train", "ingest", "avalanche", "fss", "bootstrap", "plot", "reproduce", "simulate")


def test_version_is_answered_without_loading_anything_heavy(tmp_path):
    script = (
        "import sys; sys.argv = ['grokcrit', '--version']\n"
        "from grokcrit.cli import main; main()\n"
        "heavy = {'numpy', 'numba', 'typer', 'pyarrow', 'scipy', 'igraph', 'matplotlib', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([COMMAND[0], "-c", script], check=True, cwd=tmp_path)
    assert re.fullmatch(r"grokcrit \d+\.\d+\.\d+\n", grokcrit("--version", cwd=tmp_path).stdout)


def test_help_loads_neither_numbers_nor_tables(tmp_path):
    script = (
        "import sys\nfrom grokcrit.cli.app import invoke\n"
        "assert invoke(['--help']) == 0 and invoke(['train', '--help']) == 0\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'scipy', 'igraph', 'matplotlib', 'torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([COMMAND[0], "-c", script], check=True, cwd=tmp_path, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("command", ["fss", "bootstrap"])
def test_exponents_need_no_compiled_loop_and_no_pandas(tmp_path, chain, command):
    # Catches a module above a kernel, or pyarrow's look for pandas: each takes 0.2 to 0.6 s.
    script = (
        "import sys\nfrom grokcrit.cli.app import invoke\n"
        f"assert invoke(['{command}', '{chain}/avalanche.parquet', '--quiet']) == 0\n"
        "heavy = {'numba', 'pandas', 'igraph', 'matplotlib', 'scipy.optimize'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([COMMAND[0], "-c", script], check=True, cwd=tmp_path)


def test_import_is_light_and_the_public_names_are_callable(tmp_path):
    script = (
        "import sys, grokcrit\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'scipy', 'igraph', 'matplotlib', 'torch'}\n"
        "assert not heavy & set(sys.modules)\n"
        "from grokcrit.stages import train, avalanche, fss, bootstrap\n"
        "import grokcrit.cascades.single, grokcrit.cascades.graphs, grokcrit.plot\n"
        "names = 'train avalanche fss bootstrap cascade graph'.split()\n"
        "assert all(callable(getattr(grokcrit, name)) for name in names)\n"
        "g = grokcrit.graph('ba', n=81, degree=6, seed=0)\n"
        "assert grokcrit.cascade(range(81), g).size > 0"
    )
    subprocess.run([COMMAND[0], "-c", script], check=True, cwd=tmp_path)


@pytest.mark.parametrize("command", STAGES)
def test_every_help_text_has_an_example_that_starts_like_the_command(tmp_path, command):
    shown = grokcrit(command, "--help", cwd=tmp_path).stdout
    assert f"Example:\n    grokcrit {command} " in shown
    for option in ("--out", "--quiet", "--json", "--threads", "--seed", "--help"):
        assert option in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "0"}, {"GITHUB_ACTIONS": "1", "NO_COLOR": "1"}],
)
def test_nothing_that_goes_into_a_pipe_holds_an_escape(chain, tmp_path, variables):
    for arguments in (["--help"], ["fss", "--help"], ["fss", chain / "avalanche.parquet"]):
        done = grokcrit(*arguments, cwd=tmp_path, env=variables)
        assert "\x1b" not in done.stdout + done.stderr
        assert done.stdout


def on_a_terminal(arguments, cwd, **variables):
    """Run a command with both streams on a pseudo-terminal; return what a person saw."""
    parent, child = pty.openpty()
    environment = {k: v for k, v in ENVIRONMENT.items() if k != "CI"}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdout=child,
        stderr=child,
        env={**environment, "TERM": "xterm-256color", **variables},
    )
    os.close(child)
    seen = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(parent)
    assert process.wait() == 0
    return seen.decode()


# Some seconds on any machine: the bar comes up after one.
LONG = ["train", "--hidden", "200,300,400", "--seeds", "8", "--epochs", "6000", "--threads", "1"]
LONG += ["--no-gradients"]


def test_a_progress_bar_shows_on_a_terminal_and_not_in_ci(tmp_path):
    assert re.search(r"training.*\d+/24.*runs", on_a_terminal(LONG, tmp_path))
    assert "/24" not in on_a_terminal(LONG, tmp_path, CI="true")
    assert "/24" not in on_a_terminal([*LONG, "--quiet"], tmp_path)


@pytest.mark.slow
def test_one_width_goes_through_up_to_where_one_size_cannot_be_fitted(tmp_path):
    grokcrit("train", "--hidden", "32", "--seeds", "6", cwd=tmp_path)
    grokcrit("avalanche", "train.parquet", cwd=tmp_path)
    for stage in ("fss", "bootstrap"):
        said = sentence(grokcrit(stage, "avalanche.parquet", cwd=tmp_path, code=1))
        assert "at least 3 sizes" in said
        assert "has 1 (N = 129)" in said
        assert not (tmp_path / f"{stage}.parquet").exists()


@pytest.mark.parametrize("stage", ["train", "avalanche", "fss", "bootstrap"])
def test_json_is_one_object_and_nothing_else_is_on_standard_output(chain, tmp_path, stage):
    source = {"train": list(SMALL), "avalanche": [chain / "train.parquet"]}.get(
        stage, [chain / "avalanche.parquet"]
    )
    done = grokcrit(stage, *source, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert found["out"] == f"{stage}.parquet"
    assert found["rows"]
    assert all({"id", "text"} == set(w) for w in found["warnings"])


@pytest.mark.slow
def test_a_warning_has_an_id_by_which_it_is_silenced(chain, tmp_path):
    source = [chain / "avalanche.parquet", "--observable", "size"]
    grokcrit("avalanche", chain / "train.parquet", "-o", "data.parquet", cwd=tmp_path)
    said = grokcrit("fss", "data.parquet", cwd=tmp_path).stderr
    assert "[no-null]" in said
    assert "--surrogate none,gaussian" in said
    silenced = grokcrit("fss", "data.parquet", "--silence", "no-null", cwd=tmp_path).stderr
    assert "no-null" not in silenced
    assert "[no-null]" not in grokcrit("fss", *source, cwd=tmp_path).stderr


def test_quiet_prints_nothing_at_all(chain, tmp_path):
    done = grokcrit("fss", chain / "avalanche.parquet", "--quiet", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "fss.parquet").exists()


def test_the_summary_shows_the_exponents_of_the_table(chain, tmp_path):
    rows = json.loads(grokcrit("fss", chain / "avalanche.parquet", "--json", cwd=tmp_path).stdout)
    table = pq.read_table(tmp_path / "fss.parquet").to_pylist()
    for shown in rows["rows"]:
        (fit,) = [
            r
            for r in table
            if (r["surrogate"], r["window"], r["statistic"], r["time"], r["observable"])
            == ("none", shown["window"], shown["statistic"], None, shown["observable"])
        ]
        assert shown["exponent"] == fit["exponent"]
        assert shown["runs"] == fit["n_runs"]


def test_lists_are_repeatable_or_with_commas_and_multiply_out(chain, tmp_path):
    source = chain / "train.parquet"
    grokcrit(
        "avalanche", source, "--topology", "ring,ba", "--alpha", "0.1", "--alpha", "0.5",
        "--rule", "diffuse,reset", "--quantile", "80,90", "--graph-seed", "0,1",
        "--surrogate", "none", "--surrogate", "gaussian", "--replicates", "2", cwd=tmp_path,
    )  # fmt: skip
    table = pq.read_table(tmp_path / "avalanche.parquet").to_pandas()
    snapshots = 3 * 2 * 13
    assert len(table) == 2 * 2 * 2 * 2 * 2 * (1 + 2) * snapshots
    assert set(table[table.surrogate == "none"].replicate) == {0}
    assert set(table[table.surrogate == "gaussian"].replicate) == {0, 1}


@pytest.mark.slow
def test_sparse_parity_trains_with_its_controls_in_one_table(tmp_path):
    small = ["--hidden", "4", "--seeds", "1", "--epochs", "2", "-o", "parity.parquet"]
    grokcrit("train", "--task", "parity", "--controls", *small, cwd=tmp_path)
    table = pq.read_table(tmp_path / "parity.parquet")
    cells = ["learnable", "shuffled", "few"]
    assert list(dict.fromkeys(table["case"].to_pylist())) == [
        *cells,
        *(f"{cell}-no-decay" for cell in cells),
    ]
    assert set(table["n_params"].to_pylist()) == {4 * (40 + 1) + 4 + 1}


def test_width_is_another_name_for_hidden(tmp_path):
    options = ["--seeds", "1", "--epochs", "20", "-o"]
    grokcrit("train", "--width", "4", "--width", "6,8", *options, "a.parquet", cwd=tmp_path)
    grokcrit("train", "--hidden", "4,6,8", *options, "b.parquet", cwd=tmp_path)
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))


@pytest.mark.slow
def test_equal_command_lines_give_equal_files_under_source_date_epoch(tmp_path):
    written = []
    for _ in range(2):
        env = {"SOURCE_DATE_EPOCH": "1700000000"}
        grokcrit("train", *SMALL, cwd=tmp_path, env=env)
        grokcrit("avalanche", "train.parquet", cwd=tmp_path, env=env)
        grokcrit("fss", "avalanche.parquet", cwd=tmp_path, env=env)
        names = ("train.parquet", "avalanche.parquet", "fss.parquet")
        written.append([(tmp_path / name).read_bytes() for name in names])
    assert written[0] == written[1]


def test_threads_and_output_path_are_not_part_of_the_configuration(tmp_path):
    found = []
    for threads, name in (("1", "a.parquet"), ("2", "b.parquet")):
        grokcrit("train", *SMALL, "--threads", threads, "-o", name, cwd=tmp_path)
        table = pq.read_table(tmp_path / name)
        record = json.loads(table.schema.metadata[b"grokcrit"])
        found.append((table.replace_schema_metadata(), record["configuration"], record["cases"]))
    assert found[0][0].equals(found[1][0])
    assert found[0][1:] == found[1][1:]


def test_the_chain_back_to_train_is_in_the_last_file(chain):
    record = json.loads(pq.read_schema(chain / "fss.parquet").metadata[b"grokcrit"])
    (avalanche,) = record["inputs"]
    (train,) = avalanche["inputs"]
    assert [r["schema"] for r in (record, avalanche, train)] == ["fss/1", "avalanche/1", "train/1"]
    assert train["command_line"] == "grokcrit train " + " ".join(SMALL)
    assert train["configuration"]["hidden"] == [6, 10, 16]
    assert train["configuration"]["lr"] == 0.5
    assert set(record["cases"].values().__iter__().__next__()) >= {"activation", "init", "seed"}
    assert record["widths"]["6"][2] == {"name": "W2", "shape": [1, 6], "offset": 18}


def test_rerunning_over_an_existing_output_is_allowed(chain, tmp_path):
    for _ in range(2):
        grokcrit("avalanche", chain / "train.parquet", cwd=tmp_path)


def test_a_reader_that_leaves_early_is_no_error(chain, tmp_path):
    command = " ".join([*COMMAND, "fss", str(chain / "avalanche.parquet")])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -n 1"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full"])
def test_a_stream_that_takes_nothing_costs_no_table_and_no_traceback(chain, tmp_path, closed):
    command = " ".join([*COMMAND, "fss", str(chain / "avalanche.parquet"), closed])
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == (1 if "full" in closed else 0)
    assert "Traceback" not in done.stdout + done.stderr
    assert "internal error" not in done.stderr
    assert pq.read_table(tmp_path / "fss.parquet").num_rows > 0


def test_words_of_a_table_are_never_cut_in_two_on_a_narrow_terminal(chain, tmp_path):
    seen = on_a_terminal(["fss", str(chain / "avalanche.parquet")], tmp_path, COLUMNS="40")
    for word in ("aggregate", "statistic", "run-max", "avalanches"):
        assert word in seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_stops_within_two_seconds_and_leaves_no_output(tmp_path, number, code):
    (tmp_path / "train.parquet").write_bytes(b"an older result")
    process = subprocess.Popen(
        [*COMMAND, "train", "--epochs", "400000", "--hidden", "500", "--snapshot-every", "4000"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not writes_into(process, tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(3)  # well inside the first runs
    start = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert time.monotonic() - start < 2
    assert process.returncode == code
    assert "nothing half-written remains" in said
    assert "Traceback" not in said
    assert [p.name for p in tmp_path.iterdir()] == ["train.parquet"]
    assert (tmp_path / "train.parquet").read_bytes() == b"an older result"


def test_no_arguments_print_the_help_and_are_a_fault_of_the_command_line(tmp_path):
    done = grokcrit(cwd=tmp_path, code=2)
    assert done.stdout == ""
    assert "Commands:" in done.stderr


def test_a_report_lies_beside_its_tables_and_prints_the_verdict(chain, tmp_path):
    for path in chain.glob("*.parquet"):
        (tmp_path / path.name).symlink_to(path)
    done = grokcrit("report", ".", "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said["out"] == "report.html"
    assert {"question", "answer", "because"} <= set(said["rows"][0])
    assert "missing" in {w["id"] for w in said["warnings"]}
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_several_graph_seeds_are_one_case_of_the_bootstrap(chain, tmp_path):
    """Fault: each graph stays a case of its own, or the training graph goes unseen."""
    grokcrit("avalanche", chain / "train.parquet", "--graph-seed", "0..2", cwd=tmp_path)
    few = ("avalanche.parquet", "--observable", "size", "--resamples", "50", "--json")
    told = json.loads(grokcrit("bootstrap", *few, cwd=tmp_path).stdout)
    table = pq.read_table(tmp_path / "bootstrap.parquet")
    assert table["graph_seed"].null_count == table.num_rows
    (line,) = told["more"][0]["rows"]
    (row,) = (
        r
        for r in table.to_pylist()
        if (r["part"], r["statistic"], r["window"]) == ("training graph", "mean", "post")
    )
    assert row["exponent"] == next(iter(line.values()))
    told = json.loads(grokcrit("bootstrap", *few, "--graph-seed", "1..2", cwd=tmp_path).stdout)
    assert "more" not in told
    for wrong in ("2..3", "2..1", "0..x"):
        failed = grokcrit("bootstrap", *few[:1], "--graph-seed", wrong, cwd=tmp_path, code=2)
        assert "--graph-seed" in sentence(failed)
