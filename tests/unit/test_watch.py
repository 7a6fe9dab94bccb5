"""Watching: what is read of parts that change meanwhile, D(t), and lines that fit."""

import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.cli.picture import age, lines, sparkline, whole
from grokcrit.stages import watch
from grokcrit.stages.watch import Series, Watched, watch_summary
from tests.unit.synthetic import random_rows, regular_rows, row, table

WIDTHS = (3, 5, 9, 14)


def rows_of(width, seed, last=100, every=10, **case):
    """One run with its Gaussian null, which is half of the data."""
    rng = np.random.default_rng([width, seed])
    made = []
    for epoch in range(0, last, every):
        size = int(rng.integers(20, 40)) * width
        for surrogate, share in (("none", 1), ("gaussian", 2)):
            made.append(row(width, seed, epoch, [size // share], surrogate=surrogate, **case))
    return [
        {**each, "loss": 1 / (1 + each["epoch"]), "train_accuracy": 1.0, "test_accuracy": 0.5}
        for each in made
    ]


def write(folder, rows, name="part"):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.parquet"
    pq.write_table(table(rows), folder / "new")
    os.replace(folder / "new", path)
    return path


@pytest.fixture
def parts(tmp_path):
    for width in WIDTHS:
        write(tmp_path / "parts", rows_of(width, 0), f"width-{width:06d}")
    return tmp_path / "parts"


def test_d_is_the_slope_of_log_mean_size_on_log_n(parts):
    """Fault: D is of another step, of the null, or of widths instead of N."""
    (found,) = Watched([parts]).look().dimensions
    read = pq.read_table(parts).to_pandas()
    assert found.data.steps.tolist() == list(range(0, 100, 10))
    for surrogate, step, d in (
        ("none", 50, found.data.values[5]),
        ("none", 90, found.data.last),
        ("gaussian", 90, found.of_null),
    ):
        here = read[(read.surrogate == surrogate) & (read.epoch == step)]
        assert d == pytest.approx(np.polyfit(np.log(here.n_params), np.log(here["size"]), 1)[0])
    assert found.interval is None
    assert "(no interval: one run per width)" in Watched([parts]).look().headline


def test_every_step_of_d_is_fitted_over_the_same_widths(parts):
    """Fault: D(t) jumps where a slower run has not arrived, or a run without its steps stops it."""
    write(parts, rows_of(30, 0, last=40), "slow")
    (found,) = Watched([parts]).look().dimensions
    assert found.widths == (5, 5)
    assert found.data.steps.tolist() == [0, 10, 20, 30]
    write(parts, [{**r, "epoch": r["epoch"] + 7} for r in rows_of(30, 0)], "slow")
    view = Watched([parts]).look()
    assert view.dimensions[0].widths == (4, 5)
    assert view.dimensions[0].data.steps[-1] == 90
    assert "over 4 of 5 widths" in view.headline


def test_the_interval_is_that_of_fss(tmp_path):
    """Fault: the view says another interval than the stage says of the same step."""
    rows = regular_rows(1) + regular_rows(2, surrogate="gaussian")
    path = write(tmp_path, rows)
    (found,) = Watched([path]).look().dimensions
    fits = grokcrit.fss(path, observable="size").to_pylist()
    (fit,) = (
        r
        for r in fits
        if (r["surrogate"], r["window"], r["statistic"], r["time"]) == ("none", "epoch", "mean", 90)
    )
    assert found.data.last == fit["exponent"]
    assert found.interval == (fit["ci_low"], fit["ci_high"])


def test_density_is_over_the_mean_of_the_replicates_of_the_null(tmp_path):
    """Fault: the first replicate counts alone, or another null where the Gaussian one is there."""
    rows = rows_of(5, 0) + [
        {**r, "replicate": k, "surrogate": name, "size": size * r["size"], "activity": None}
        for r in rows_of(5, 0)
        if r["surrogate"] == "gaussian"
        for name, k, size in (("gaussian", 1, 3), ("permute", 0, 50))
    ]
    write(tmp_path, rows)
    (run,) = Watched([tmp_path]).look().runs
    assert run.null == "gaussian"
    assert np.allclose(run.density.values, 1.0, rtol=0.05)
    assert (run.step, run.n_params, run.loss) == (90, 21, 1 / 91)


def changing(monkeypatch, change):
    """Have a part change between listing and reading, once for each change."""
    stage_of, left = watch.stage_of, list(change)

    def patched(path):
        if left:
            left.pop(0)(path)
        return stage_of(path)

    monkeypatch.setattr(watch, "stage_of", patched)


def test_a_part_that_vanishes_before_it_is_read_is_no_warning(parts, monkeypatch):
    """Fault: the view ends, or warns of a file that nobody misses."""
    changing(monkeypatch, [Path.unlink])
    view = Watched([parts]).look()
    assert [run.width for run in view.runs] == list(WIDTHS[1:])
    assert not view.warnings


def test_a_part_that_is_replaced_while_it_is_read_counts_as_it_is_then(parts, monkeypatch):
    """Fault: the rows of two versions, or the older one under the newer one's signature."""
    longer = rows_of(3, 0, last=200)
    changing(monkeypatch, [lambda path: write(path.parent, longer, path.stem)])
    watched = Watched([parts])
    assert next(run.step for run in watched.look().runs if run.width == 3) == 190
    assert watched.look() is watched.look()


def test_a_damaged_part_is_a_warning_until_it_is_whole(parts, monkeypatch):
    """Fault: one bad file ends the view of all, or is never looked at again."""
    changing(monkeypatch, [lambda path: path.write_bytes(b"PAR1" * 9)])
    watched = Watched([parts])
    (warning,) = watched.look().warnings
    assert warning.id == "damaged"
    assert len(watched.look().runs) == 3
    write(parts, rows_of(3, 0), "width-000003")
    assert not watched.look().warnings
    assert len(watched.look().runs) == 4


def test_only_what_has_changed_is_read_again(parts, monkeypatch):
    """Fault: every refresh reads thousands of parts."""
    read, seen = watch.read, []
    monkeypatch.setattr(watch, "read", lambda path, sign: seen.append(path) or read(path, sign))
    watched = Watched([parts, parts / "width-000003.parquet"])
    watched.look()
    assert len(seen) == len(WIDTHS)
    changed = write(parts, rows_of(5, 0, last=120), "width-000005")
    watched.look()
    watched.look()
    assert seen[len(WIDTHS) :] == [changed]


def test_parts_with_gradients_have_a_line_without_density(tmp_path):
    """Fault: they end the view, or their gradients are read."""
    trained = grokcrit.train(hidden=(4, 6, 8), seeds=1, epochs=40)
    pq.write_table(trained, tmp_path / "train.parquet")
    assert "gradient" not in watch.KEPT
    view = Watched([tmp_path]).look()
    assert [run.step for run in view.runs] == [40] * 3
    assert all(run.loss and run.accuracies["test_accuracy"].values[-1] >= 0 for run in view.runs)
    assert not any(len(run.density.values) for run in view.runs)
    assert "gradients, not avalanches" in view.headline
    assert "density" not in "".join(text for text, _ in lines(view, 0.0, 200))
    cascaded = grokcrit.avalanche(trained, surrogate=("none", "gaussian"))
    pq.write_table(cascaded, tmp_path / "avalanche.parquet")
    view = Watched([tmp_path]).look()
    assert len(view.runs) == 3
    assert all(len(run.density.values) for run in view.runs)


def test_what_is_no_part_of_a_training_is_named(tmp_path):
    """Fault: a table of fits, or a sandpile, is shown as a run."""
    pq.write_table(grokcrit.fss(table(regular_rows(0)), resamples=5), tmp_path / "fss.parquet")
    write(tmp_path, [{**r, "field": "avalanche"} for r in rows_of(5, 0)], "pile")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    view = Watched([tmp_path, tmp_path / "later"]).look()
    assert {each.id for each in view.warnings} == {"stage"}
    assert len(view.warnings) == 3
    assert not view.runs
    assert "later is not there yet" in view.headline


def test_without_a_test_accuracy_that_of_the_training_is_shown(parts):
    """Fault: a column of dashes, or a training accuracy under the header of another."""
    alone = [{**r, "test_accuracy": None} for r in rows_of(5, 0)]
    write(parts, alone, "width-000005")
    texts = "\n".join(text for text, _ in lines(Watched([parts]).look(), 0.0, 200))
    assert "  accuracy " in texts
    assert texts.count("1.000 train") == 1
    write(parts, alone, "part")
    texts = [text for text, _ in lines(Watched([parts / "part.parquet"]).look(), 0.0, 200)]
    assert any("train accuracy" in text for text in texts)


def test_the_same_step_twice_is_warned_of(parts):
    """Fault: two trainings under one name are drawn as one in silence."""
    write(parts, rows_of(5, 0), "copy")
    (warning,) = Watched([parts]).look().warnings
    assert warning.id == "repeated"


@pytest.mark.parametrize("seed", range(3))
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(tmp_path, monkeypatch, seed):
    """Fault: a row is folded or cropped in the middle of a number on a narrow terminal."""
    rows = random_rows(seed, case="a") + random_rows(seed, surrogate="gaussian", case="a")
    rows += random_rows(seed, widths=(4, 8, 16_000_000), case="a long name \x1b[31m of a case")
    write(tmp_path, [{**r, "loss": 1.234e-5, "train_accuracy": 1.0} for r in rows])
    monkeypatch.chdir(tmp_path)
    view = Watched([".", "later"]).look()
    words = {w for text, _ in lines(view, 1e9, 1000) for w in re.findall(r"[\d.,e-]*\d", text)}
    for width in range(40, 200, 7):
        drawn = lines(view, 1e9, width, 24)
        assert len(drawn) <= 24
        assert max(len(text) for text, _ in drawn) <= width
        assert all(text.isprintable() for text, _ in drawn)
        shown = {w for text, _ in drawn[:-1] for w in re.findall(r"[\d.,e-]*\d", text)}
        left_out = {str(k) for k in range(len(view.runs))}
        assert shown - words <= left_out, width


def test_where_runs_are_too_many_the_latest_are_shown(tmp_path):
    """Fault: a run that goes on scrolls out of sight behind those that have ended."""
    for k in range(30):
        path = write(tmp_path, rows_of(5, k), f"seed-{k}")
        os.utime(path, (k, k) if k % 3 else (1000 + k, 1000 + k))
    texts = [text for text, _ in lines(Watched([tmp_path]).look(), 2000.0, 80, 15)]
    assert len(texts) <= 15
    shown = [int(text.split()[1]) for text in texts if text.lstrip().startswith("5 ")]
    assert shown == [k for k in range(30) if k % 3 == 0][-len(shown) :]
    assert f"and {30 - len(shown)} more runs, which changed earlier" in texts


def test_numbers_for_scripts_are_those_of_the_view(parts):
    """Fault: JSON holds other numbers than the screen, or arrays that it cannot hold."""
    view = Watched([parts]).look()
    told = watch_summary(view, now=view.runs[0].updated + 5).as_dict(None, [])
    first = told["rows"][0]
    assert first["seconds_since_written"] == 5
    assert first["density_over_null"] == view.runs[0].density.last
    newest, course = told["more"]
    assert newest["rows"][0]["exponent"] == course["rows"][-1]["exponent"]
    assert len(course["rows"]) == 10
    assert isinstance(course["rows"][0]["step"], int)


def test_a_sparkline_stands_over_steps():
    """Fault: an uneven spacing of steps is drawn as an even one, or an end is lost."""
    series = Series(np.array([0, 1, 2, 3, 100]), np.array([0.0, 0, 0, 0, 1]))
    assert sparkline(series, 5, (0, 1)) in ("▁   █", "_   #")
    assert len(sparkline(Series(np.arange(1000), np.arange(1000.0)), 12)) == 12
    assert len(set(sparkline(Series(np.arange(9), np.ones(9)), 12))) == 1
    assert (whole(9_999_999), whole(1_240_000_000)) == ("9,999,999", "1.24e9")
    assert [age(s) for s in (-3, 12, 720, 7200, 10**6)] == ["0 s", "12 s", "12 min", "2 h", "11 d"]


def test_avalanches_of_one_run_alone_have_no_d(tmp_path):
    """Fault: a slope through one point."""
    write(tmp_path, rows_of(5, 0))
    view = Watched([tmp_path]).look()
    assert not view.dimensions
    assert "no D yet" in view.headline
