"""Every row of the contract's table of bad input, through a real process."""

from __future__ import annotations

import resource
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests import privileges
from tests.cli.conftest import SMALL
from tests.shell import COMMAND, ENVIRONMENT, grokcrit, sentence


def rewritten(source, target, change):
    """Write a table back after a change, its metadata kept."""
    table = pq.read_table(source)
    changed = change(table)
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), target)
    return target


def with_gradients(table, change):
    """Change the gradients of a train table: ``change(row, values)``."""
    gradients = table["gradient"].to_pylist()
    new = [None if g is None else change(i, g) for i, g in enumerate(gradients)]
    place = table.schema.get_field_index("gradient")
    return table.set_column(place, "gradient", pa.array(new, pa.list_(pa.float64())))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"not a table\n" * 40, "not a readable Parquet file")],
)
def test_what_is_not_parquet_is_named(tmp_path, content, words):
    (tmp_path / "x.parquet").write_bytes(content)
    for stage in ("avalanche", "fss", "bootstrap"):
        said = sentence(grokcrit(stage, "x.parquet", cwd=tmp_path, code=1))
        assert "x.parquet" in said
        assert words in said


def test_a_truncated_file_is_named(chain, tmp_path):
    whole = (chain / "train.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    said = sentence(grokcrit("avalanche", "cut.parquet", cwd=tmp_path, code=1))
    assert "cut.parquet is not a readable Parquet file" in said


def test_damaged_pages_never_become_numbers(chain, tmp_path):
    whole = bytearray((chain / "train.parquet").read_bytes())
    footer = pq.read_metadata(chain / "train.parquet").row_group(0)
    gradients = next(
        footer.column(k)
        for k in range(footer.num_columns)
        if footer.column(k).path_in_schema.startswith("gradient")
    )
    whole[gradients.data_page_offset + gradients.total_compressed_size // 2] ^= 0xFF
    (tmp_path / "bad.parquet").write_bytes(whole)
    assert "bad.parquet" in sentence(grokcrit("avalanche", "bad.parquet", cwd=tmp_path, code=1))
    assert not (tmp_path / "avalanche.parquet").exists()


@pytest.mark.parametrize(
    ("stage", "source", "right"),
    [
        ("avalanche", "avalanche", "grokcrit train"),
        ("fss", "train", "grokcrit avalanche"),
        ("bootstrap", "fss", "grokcrit avalanche"),
    ],
)
def test_a_table_of_the_wrong_stage_is_told_which_command_makes_the_right_one(
    chain, tmp_path, stage, source, right
):
    said = sentence(grokcrit(stage, chain / f"{source}.parquet", cwd=tmp_path, code=1))
    assert f"'{source}'" in said
    assert f"'{right}'" in said


def test_a_missing_column_is_named(chain, tmp_path):
    rewritten(chain / "train.parquet", tmp_path / "x.parquet", lambda t: t.drop_columns(["seed"]))
    said = sentence(grokcrit("avalanche", "x.parquet", cwd=tmp_path, code=1))
    assert "lacks the column 'seed'" in said


def test_a_wrong_type_names_the_column_the_type_found_and_the_type_wanted(chain, tmp_path):
    def change(table):
        place = table.schema.get_field_index("size")
        return table.set_column(place, "size", pc.add(table["size"].cast(pa.float64()), 0.5))

    rewritten(chain / "avalanche.parquet", tmp_path / "x.parquet", change)
    said = sentence(grokcrit("fss", "x.parquet", cwd=tmp_path, code=1))
    assert "'size'" in said
    assert "double" in said
    assert "int64" in said


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_names_its_run_and_epoch(chain, tmp_path, bad):
    rows = pq.read_table(chain / "train.parquet").to_pandas()
    row = int(np.flatnonzero((rows.width == 10) & (rows.seed == 1) & (rows.epoch == 30))[0])

    def change(i, g):
        return [bad, *g[1:]] if i == row else g

    rewritten(chain / "train.parquet", tmp_path / "x.parquet", lambda t: with_gradients(t, change))
    said = sentence(grokcrit("avalanche", "x.parquet", cwd=tmp_path, code=1))
    assert "width 10, seed 1, epoch 30" in said
    assert str(bad) in said
    assert not (tmp_path / "avalanche.parquet").exists()


def test_a_gradient_of_the_wrong_length_names_its_run_and_both_lengths(chain, tmp_path):
    rewritten(
        chain / "train.parquet",
        tmp_path / "x.parquet",
        lambda t: with_gradients(t, lambda i, g: g[:-1] if i == 0 else g),
    )
    said = sentence(grokcrit("avalanche", "x.parquet", cwd=tmp_path, code=1))
    assert "width 6, seed 0, epoch 0" in said
    assert "24 entries" in said
    assert "n_params is 25" in said


def test_an_all_zero_gradient_is_a_quiet_avalanche_counted_once(chain, tmp_path):
    def zero(i, g):
        return [0.0] * len(g)

    rewritten(chain / "train.parquet", tmp_path / "x.parquet", lambda t: with_gradients(t, zero))
    done = grokcrit("avalanche", "x.parquet", cwd=tmp_path)
    assert done.stderr.count("warning") == 1
    assert "78 of 78 avalanches are quiet" in done.stderr
    table = pq.read_table(tmp_path / "avalanche.parquet").to_pandas()
    assert (table["size"] == 0).all()
    assert (table["threshold"] == 0).all()
    assert not table["truncated"].any()
    # Nothing positive to fit: rows without an exponent, counted, and said.
    done = grokcrit("fss", "avalanche.parquet", cwd=tmp_path)
    fits = pq.read_table(tmp_path / "fss.parquet").to_pandas()
    assert fits.exponent.isna().all()
    whole = fits[(fits.window == "aggregate") & (fits.statistic == "mean")]
    assert whole.n_quiet.tolist() == [78, 78, 78]  # size, excess, branching


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hidden", "0"], ["--hidden", "at least 1", "got 0"]),
        (["--hidden", "20,x"], ["--hidden", "'x'"]),
        (["--hidden", "20,20"], ["--hidden", "20 twice"]),
        (["--seeds", "0"], ["--seeds", "at least 1"]),
        (["--quantile", "100"], ["--quantile", "below 100"]),
        (["--quantile", "nan"], ["--quantile"]),
        (["--alpha", "0"], ["--alpha", "above 0 and at most 1"]),
        (["--alpha", "1.5"], ["--alpha", "above 0 and at most 1"]),
        (["--epochs", "-1"], ["--epochs", "at least 0"]),
        (["--snapshot-every", "0"], ["--snapshot-every"]),
        (["--max-steps", "0"], ["--max-steps"]),
        (["--lr", "0"], ["--lr", "above 0"]),
        (["--threads", "0"], ["--threads"]),
        (["--seed", "-1"], ["--seed"]),
        (["--topology", "rign"], ["--topology", "ring, lattice", "did you mean 'ring'"]),
        (["--activation", "than"], ["--activation", "did you mean 'tanh'"]),
        (["--init", "normal:x"], ["--init"]),
        (["--rule", "rest"], ["--rule", "did you mean 'reset'"]),
        (["--degree", "5"], ["--degree", "even"]),
        (["--hidden", "1", "--degree", "6"], ["--degree", "5 nodes"]),
        (["--nonsense"], ["--nonsense"]),
        (["--epochs", "many"], ["--epochs", "integer"]),
    ],
)
def test_a_bad_option_exits_2_and_names_the_option_and_its_range(tmp_path, options, words):
    said = sentence(grokcrit("train", *options, cwd=tmp_path, code=2))
    for word in words:
        assert word in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["avalanche", "T", "--surrogate", "guassian"], ["none, gaussian", "'gaussian'?"]),
        (["avalanche", "T", "--alpha", "0.1,2"], ["--alpha", "at most 1"]),
        (["avalanche", "T", "--topology", "ba,ba"], ["--topology", "twice"]),
        (["avalanche", "T", "--grok-accuracy", "90"], ["--grok-accuracy", "0 to below 1, got 90"]),
        (["fss", "A", "--observable", "sizes"], ["--observable", "did you mean 'size'"]),
        (["fss", "A", "--resamples", "0"], ["--resamples"]),
        (["bootstrap", "A", "--confidence", "1"], ["--confidence", "between 0 and 1"]),
        (["plot", "fig4", "A"], ["FIGURE", "fig1, fig2, fig3", "did you mean"]),
        (["plot", "ccdf", "A", "-o", "x.jpg"], [".png, .pdf, .svg"]),
        (["reproduce", "--scale", "papr"], ["--scale", "did you mean 'paper'"]),
        (["trian"], ["trian"]),
        (["avalanche"], ["TRAIN"]),
    ],
)
def test_unknown_names_exit_2_and_suggest_the_nearest(chain, tmp_path, arguments, words):
    places = {"T": chain / "train.parquet", "A": chain / "avalanche.parquet"}
    done = grokcrit(*[places.get(a, a) for a in arguments], cwd=tmp_path, code=2)
    said = sentence(done)
    for word in words:
        assert word.lower() in said.lower()


def test_a_missing_input_is_named(tmp_path):
    for stage in ("avalanche", "fss", "bootstrap"):
        said = sentence(grokcrit(stage, "absent.parquet", cwd=tmp_path, code=1))
        assert "absent.parquet" in said
        assert "No such file" in said
    assert list(tmp_path.iterdir()) == []


def test_a_missing_output_folder_is_named_before_the_work_is_done(chain, tmp_path):
    source = chain / "train.parquet"
    for arguments in (["train"], ["avalanche", source], ["fss", chain / "avalanche.parquet"]):
        done = grokcrit(*arguments, "-o", "no/such/x.parquet", cwd=tmp_path, code=1)
        said = sentence(done)
        assert "no/such/x.parquet" in said
        assert "No such file or directory" in said


def test_an_output_that_is_a_folder_is_refused(chain, tmp_path):
    (tmp_path / "x.parquet").mkdir()
    done = grokcrit("avalanche", chain / "train.parquet", "-o", "x.parquet", cwd=tmp_path, code=1)
    assert "not a regular file" in sentence(done)


def test_an_output_that_is_an_input_is_refused(chain, tmp_path):
    shutil.copy(chain / "avalanche.parquet", tmp_path)
    before = (tmp_path / "avalanche.parquet").read_bytes()
    arguments = ["fss", "avalanche.parquet", "-o", "./avalanche.parquet"]
    assert "overwrite the input" in sentence(grokcrit(*arguments, cwd=tmp_path, code=2))
    assert (tmp_path / "avalanche.parquet").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(chain, tmp_path):
    tmp_path.chmod(0o500)
    done = subprocess.run(
        [*COMMAND, "avalanche", chain / "train.parquet"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=privileges.obey_from_exec_on,
    )
    assert done.returncode == 1
    assert "Permission denied" in sentence(done)


def test_a_full_disk_leaves_the_old_output_and_nothing_else(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"an older result")
    done = subprocess.run(
        [*COMMAND, "train", *SMALL],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert "cannot write train.parquet: File too large" in sentence(done)
    assert [p.name for p in tmp_path.iterdir()] == ["train.parquet"]
    assert (tmp_path / "train.parquet").read_bytes() == b"an older result"


def test_the_same_run_twice_is_named_and_never_pooled(chain, tmp_path):
    shutil.copy(chain / "train.parquet", tmp_path / "again.parquet")
    source = [chain / "train.parquet", "again.parquet"]
    said = sentence(grokcrit("avalanche", *source, cwd=tmp_path, code=1))
    for word in ("2 times", "width 6", "seed 0", "epoch 0"):
        assert word in said
    source = [chain / "avalanche.parquet", chain / "avalanche.parquet"]
    for stage in ("fss", "bootstrap"):
        assert "2 times" in sentence(grokcrit(stage, *source, cwd=tmp_path, code=1))


@pytest.mark.slow
def test_avalanches_that_no_column_tells_apart_are_never_pooled(tmp_path):
    for width, seed in ((4, 0), (8, 0), (16, 1)):
        options = ["--hidden", width, "--seeds", "1", "--epochs", "20"]
        grokcrit("train", *options, "-o", f"t{width}.parquet", cwd=tmp_path)
        made = ["-o", f"a{width}.parquet", "--seed", seed]
        grokcrit("avalanche", f"t{width}.parquet", *made, cwd=tmp_path)
    source = [f"a{width}.parquet" for width in (4, 8, 16)]
    for stage in ("fss", "bootstrap"):
        said = sentence(grokcrit(stage, *source, cwd=tmp_path, code=1))
        assert "different --seed (0 and 1)" in said
    made = ["-o", "a16.parquet", "--max-steps", "1"]
    grokcrit("avalanche", "t16.parquet", *made, cwd=tmp_path)
    said = sentence(grokcrit("fss", *source, cwd=tmp_path, code=1))
    assert "different --max-steps (20 and 1)" in said


@pytest.mark.slow
def test_a_case_of_one_size_beside_a_good_one_has_rows_without_an_exponent(chain, tmp_path):
    odd = ["--hidden", "8", "--seeds", "2", "--epochs", "20", "--lr", "0.6"]
    grokcrit("train", *odd, "-o", "odd.parquet", cwd=tmp_path)
    grokcrit("avalanche", chain / "train.parquet", "odd.parquet", cwd=tmp_path)
    for stage in ("fss", "bootstrap"):
        done = grokcrit(stage, "avalanche.parquet", cwd=tmp_path)
        assert done.stderr.count("[thin-window]") == 1
        rows = pq.read_table(tmp_path / f"{stage}.parquet").to_pandas()
        whole = rows[rows.window == "aggregate"]
        missing = whole.exponent.isna().groupby(whole.case).all()
        assert sorted(missing) == [False, True]


def test_an_output_among_the_parts_of_its_input_is_refused(chain, tmp_path):
    (tmp_path / "parts").mkdir()
    shutil.copy(chain / "train.parquet", tmp_path / "parts")
    for name in ("train.parquet", "new.parquet"):
        out = ["-o", f"parts/{name}"]
        assert "--out" in sentence(grokcrit("avalanche", "parts", *out, cwd=tmp_path, code=2))
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["train.parquet"]


@pytest.mark.slow
def test_a_null_of_other_runs_is_not_set_beside_the_data(chain, tmp_path):
    grokcrit("train", *SMALL[:2], "--seeds", "1", "--epochs", "120", cwd=tmp_path)
    null = ["--surrogate", "gaussian", "-o", "null.parquet"]
    grokcrit("avalanche", "train.parquet", *null, cwd=tmp_path)
    grokcrit("avalanche", chain / "train.parquet", "-o", "data.parquet", cwd=tmp_path)
    for stage in ("fss", "bootstrap"):
        done = grokcrit(stage, "data.parquet", "null.parquet", cwd=tmp_path)
        assert "[null-of-other-runs]" in done.stderr
        assert "[no-null]" not in done.stderr


@pytest.mark.slow
def test_fewer_than_three_sizes_say_how_many_were_found_and_are_needed(tmp_path):
    grokcrit("train", "--hidden", "8,16", "--seeds", "1", "--epochs", "20", cwd=tmp_path)
    grokcrit("avalanche", "train.parquet", cwd=tmp_path)
    for stage in ("fss", "bootstrap"):
        said = sentence(grokcrit(stage, "avalanche.parquet", cwd=tmp_path, code=1))
        assert "at least 3 sizes, the table has 2 (N = 33, 65)" in said


def test_a_window_too_thin_is_a_row_without_an_exponent_and_one_warning(tmp_path):
    options = ["--hidden", "4,8,16", "--seeds", "1", "--epochs", "10"]
    grokcrit("train", *options, "--lr", "0.001", cwd=tmp_path)
    grokcrit("avalanche", "train.parquet", "--surrogate", "none,gaussian", cwd=tmp_path)
    done = grokcrit("fss", "avalanche.parquet", cwd=tmp_path)
    assert done.stderr.count("[thin-window]") == 1
    fits = pq.read_table(tmp_path / "fss.parquet").to_pandas()
    thin = fits[fits.window.isin(["pre", "post"])]
    assert len(thin) == 2 * 4 * 2 * 3
    assert thin.exponent.isna().all()
    assert fits[(fits.window == "aggregate") & (fits.observable == "size")].exponent.notna().all()


def test_a_run_that_diverges_is_named(tmp_path):
    options = ["--hidden", "4", "--activation", "relu", "--init", "normal:100", "--lr", "1e300"]
    said = sentence(grokcrit("train", *options, cwd=tmp_path, code=1))
    assert "width 4, seed" in said
    assert "not finite at epoch" in said
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where(tmp_path):
    done = subprocess.run(
        [*COMMAND, "fss", "absent.parquet", "--debug"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_report_refuses_what_it_cannot_read_and_leaves_an_older_page(chain, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("older")
    (tmp_path / "results").mkdir()
    shutil.copy(chain / "fss.parquet", tmp_path / "results")
    foreign = tmp_path / "results" / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    said = sentence(grokcrit("report", "results", cwd=tmp_path, code=1))
    assert "foreign.parquet is not a table of grokcrit" in said
    foreign.write_bytes((chain / "fss.parquet").read_bytes()[:2000])
    assert "foreign.parquet" in sentence(grokcrit("report", "results", cwd=tmp_path, code=1))
    foreign.unlink()
    (tmp_path / "results" / "claims.json").write_text("{")
    assert "claims.json is damaged" in sentence(grokcrit("report", "results", cwd=tmp_path, code=1))
    assert "No such file" in sentence(grokcrit("report", "nowhere", cwd=tmp_path, code=1))
    assert page.read_text() == "older"


def test_damaged_pages_of_a_table_stop_a_report(chain, tmp_path):
    whole = bytearray((chain / "bootstrap.parquet").read_bytes())
    column = pq.read_metadata(chain / "bootstrap.parquet").row_group(0).column(17)
    whole[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    (tmp_path / "bad.parquet").write_bytes(whole)
    assert "bad.parquet" in sentence(grokcrit("report", "bad.parquet", cwd=tmp_path, code=1))
    assert not (tmp_path / "report.html").exists()


def test_a_report_does_not_replace_a_table_it_reads(chain, tmp_path):
    shutil.copy(chain / "fss.parquet", tmp_path)
    said = sentence(grokcrit("report", ".", "-o", "fss.parquet", cwd=tmp_path, code=2))
    assert "would overwrite the input" in said
    said = sentence(grokcrit("report", ".", "--where", "colour=red", cwd=tmp_path, code=2))
    assert "topology" in said
