"""A sweep's folder: what is computed, what is kept, what is put right, and the numbers in it."""

import dataclasses
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import GrokcritError, TableError
from grokcrit.sweeps import task as tasks
from grokcrit.sweeps.plan import read_plan
from grokcrit.sweeps.sweep import sweep
from grokcrit.tables import reading
from grokcrit.tasks.swept import SWEEP
from tests.sweeps.conftest import SMALL


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The small sweep, computed in this process: its file and its folder."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "sweep.toml").write_text(SMALL)
    sweep(folder / "sweep.toml", folder / "sweep", threads=1)
    return folder


@pytest.fixture
def copied(swept, tmp_path):
    """A copy of it, to be spoilt."""
    shutil.copytree(swept, tmp_path / "copied")
    return tmp_path / "copied"


def joint(folder):
    return reading.Inputs(folder / "sweep/sweep.parquet", SWEEP).read()


def parts(folder):
    return sorted((folder / "sweep/parts").iterdir())


def again(folder, **options):
    return sweep(folder / "sweep.toml", folder / "sweep", threads=1, **options)


def one(table, **wanted):
    (row,) = (r for r in table.to_pylist() if all(r[k] == v for k, v in wanted.items()))
    return row


def test_every_point_has_a_row_for_each_surrogate_observable_statistic_and_window(swept):
    table = joint(swept)
    points = read_plan(swept / "sweep.toml").points
    assert pc.unique(table["point"]).to_pylist() == [p.key for p in points]
    each = {
        (s, o, t, w)
        for s in ("none", "gaussian")
        for o in ("size", "excess")
        for t in ("mean", "run-max", "cutoff", "max")
        for w in ("aggregate", "pre", "post", "post - pre")
    }
    for point in points:
        mine = [r for r in table.to_pylist() if r["point"] == point.key]
        names = [(r["surrogate"], r["observable"], r["statistic"], r["window"]) for r in mine]
        assert set(names) == each
        assert len(names) == len(each)
        assert {r["lr"] for r in mine} == {point.training.lr}
        assert {r["rule"] for r in mine} == set(point.probed.rule)
        assert {r["train_rule"] for r in mine} == {"diffuse"}


def test_a_point_holds_the_numbers_that_the_stages_give_one_by_one(swept):
    """The stages are another way through the same estimators; the slope is numpy's own."""
    trained = grokcrit.train(hidden=(4, 6, 9), seeds=2, epochs=60, lr=1.0)
    cascades = grokcrit.avalanche(trained, rule="reset", surrogate=("none", "gaussian"))
    fits = grokcrit.fss(cascades, observable=("size", "excess"), resamples=50)
    draws = grokcrit.bootstrap(cascades, observable=("size", "excess"), resamples=50)
    table = joint(swept).filter(
        pc.and_(pc.equal(joint(swept)["rule"], "reset"), pc.equal(joint(swept)["lr"], 1.0))
    )
    checked = 0
    for row in table.to_pylist():
        shared = {k: row[k] for k in ("surrogate", "observable", "statistic", "window")}
        if row["window"] != "post - pre":
            fit = one(fits, **shared, time=None)
            for mine, theirs in (
                ("exponent", "exponent"),
                ("ci_low", "ci_low"),
                ("ci_high", "ci_high"),
            ):
                assert row[mine] == pytest.approx(fit[theirs]) or row[mine] is fit[theirs] is None
                checked += row[mine] is not None
        if row["surrogate"] == "none":
            found = one(draws, **shared, kind="estimate", part="minus gaussian")["exponent"]
            assert row["minus_gaussian"] == pytest.approx(found) or found is None
    assert checked > 20
    data = cascades.filter(pc.equal(cascades["surrogate"], "none"))
    sizes = data.group_by("n_params").aggregate([("size", "mean")]).sort_by("n_params")
    slope = np.polyfit(np.log(sizes["n_params"]), np.log(sizes["size_mean"]), 1)[0]
    whole = {"surrogate": "none", "observable": "size", "statistic": "mean", "window": "aggregate"}
    row = one(table, **whole)
    assert row["exponent"] == pytest.approx(slope)
    groks = [r["grok_epoch"] for r in trained.to_pylist() if r["epoch"] == 0]
    known = [g for g in groks if g is not None]
    assert (row["n_runs"], row["n_grokked"]) == (len(groks), len(known)) == (6, len(known))
    assert row["grok_epoch_median"] == (np.median(known) if known else None)
    assert row["n_avalanches"] == data.num_rows


def test_null_models_asked_for_stand_beside_the_data(write, tmp_path):
    path = write(
        SMALL.replace("[0.5, 1.0]", "0.5").replace(
            "[avalanche]",
            '[avalanche]\nsurrogate = [["none", "gaussian", "permute"]]\nreplicates = 2',
        )
    )
    sweep(path, tmp_path / "sweep", threads=1)
    table = joint(tmp_path)
    assert set(table["surrogate"].to_pylist()) == {"none", "gaussian", "permute"}
    assert set(table["replicates"].to_pylist()) == {2}
    own = table.filter(pc.equal(table["surrogate"], "gaussian"))
    assert own["minus_gaussian"].null_count == own.num_rows
    place = {
        "surrogate": "permute",
        "observable": "size",
        "statistic": "mean",
        "window": "aggregate",
        "rule": "diffuse",
    }
    row = one(table, **place)
    base = one(table, **place | {"surrogate": "gaussian"})
    assert row["minus_gaussian"] == pytest.approx(row["exponent"] - base["exponent"])


def test_a_second_sweep_computes_nothing_and_leaves_the_parts_as_they_are(copied):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in parts(copied)}
    found = again(copied)
    assert (found.points, found.computed, found.failed) == (4, 0, {})
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in parts(copied)} == before


def test_what_is_missing_is_computed_and_the_table_is_as_before(copied):
    before, kept = joint(copied), parts(copied)
    kept[0].unlink()
    kept[2].unlink()
    (copied / "sweep/sweep.parquet").unlink()
    assert again(copied).computed == 2
    assert joint(copied).equals(before)


def test_a_sweep_whose_file_grew_computes_what_is_new(copied):
    before = joint(copied)
    path = copied / "sweep.toml"
    path.write_text(path.read_text().replace("[0.5, 1.0]", "[0.5, 1.0, 2.0]"))
    found = again(copied)
    assert (found.points, found.computed) == (6, 2)
    assert joint(copied).slice(0, before.num_rows).equals(before)


def test_parts_of_another_plan_stay_and_are_not_in_the_table(copied):
    path = copied / "sweep.toml"
    path.write_text(path.read_text().replace("[0.5, 1.0]", "0.5"))
    assert again(copied).computed == 0
    assert len(parts(copied)) == 4
    assert set(joint(copied)["lr"].to_pylist()) == {0.5}


def test_options_of_the_code_that_changed_are_computed_again(copied, monkeypatch):
    from grokcrit.tables import provenance

    before = joint(copied)
    monkeypatch.setattr(provenance, "code_version", lambda: "another")
    assert again(copied).computed == 4
    without = [n for n in before.column_names if n != "point"]
    assert joint(copied).select(without).equals(before.select(without))


def damaged(part):
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)


def halved(part):
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])


def emptied(part):
    part.write_bytes(b"")


def exchanged(part):
    other = next(p for p in part.parent.iterdir() if p != part)
    part.write_bytes(other.read_bytes())


def replaced(part):
    pq.write_table(pa.table({"a": [1]}), part)


@pytest.mark.parametrize("spoil", [damaged, halved, emptied, exchanged, replaced])
def test_a_damaged_part_is_named_moved_aside_and_computed_again(copied, spoil):
    before, part = joint(copied), parts(copied)[1]
    spoil(part)
    spoilt = part.read_bytes()
    found = again(copied)
    assert found.computed == 1
    assert [*found.aside] == [part.stem]
    assert Path(found.aside[part.stem]).read_bytes() == spoilt
    assert joint(copied).equals(before)


def test_a_folder_in_the_place_of_a_part_is_moved_aside(copied):
    before, part = joint(copied), parts(copied)[1]
    part.unlink()
    part.mkdir()
    assert [*again(copied).aside] == [part.stem]
    assert joint(copied).equals(before)


def test_files_half_written_by_the_dead_are_removed_after_an_hour(copied):
    old, new = (copied / f"sweep/parts/.grokcrit-{digit * 16}.tmp" for digit in "01")
    for path in (old, new):
        path.touch()
    os.utime(old, (0, 0))
    again(copied)
    assert (old.exists(), new.exists()) == (False, True)


def test_parts_damaged_twice_are_both_kept(copied):
    part = parts(copied)[1]
    for _ in range(2):
        halved(part)
        again(copied)
    assert len(list((copied / "sweep/damaged").iterdir())) == 2


def test_a_point_that_fails_is_recorded_stops_no_other_and_is_tried_again(copied, monkeypatch):
    before = joint(copied)
    for part in parts(copied):
        part.unlink()
    real, broken = tasks.measured, []

    def measured(point, trained, **options):
        if point.training.lr == 1.0 and point.probed.rule == ("reset",):
            broken.append(point.key)
            raise ValueError("it broke")
        return real(point, trained, **options)

    monkeypatch.setattr(tasks, "measured", measured)
    found = again(copied)
    assert found.failed == {broken[0]: "internal error, ValueError: it broke"}
    row = one(joint(copied), point=broken[0])
    assert row["error"] == "internal error, ValueError: it broke"
    assert (row["lr"], row["rule"], row["exponent"]) == (1.0, "reset", None)
    others = joint(copied).filter(pc.not_equal(joint(copied)["point"], broken[0]))
    assert others.equals(before.filter(pc.not_equal(before["point"], broken[0])))
    monkeypatch.setattr(tasks, "measured", real)
    assert (again(copied).computed, again(copied).computed) == (1, 0)
    assert joint(copied).equals(before)
    assert not list((copied / "sweep/failed").iterdir())


def test_a_training_that_diverges_fails_all_its_points_and_says_why(write, tmp_path):
    path = write(SMALL.replace("[0.5, 1.0]", "[0.5, 1e149]\nactivation = 'relu'"))
    found = sweep(path, tmp_path / "sweep", threads=1)
    assert len(found.failed) == 2
    assert all("diverged" in reason for reason in found.failed.values())
    assert joint(tmp_path)["error"].null_count == 2 * 64


def test_a_point_whose_runs_never_grok_has_nulls_and_has_not_failed(write, tmp_path):
    path = write(SMALL.replace("epochs = 60", "epochs = 10").replace("[0.5, 1.0]", "1e-6"))
    found = sweep(path, tmp_path / "sweep", threads=1)
    assert found.failed == {}
    table = joint(tmp_path)
    phases = table.filter(pc.is_in(table["window"], pa.array(["pre", "post", "post - pre"])))
    assert phases["exponent"].null_count == phases.num_rows
    assert table["grok_epoch_median"].null_count == table.num_rows
    assert all({"never-grokked", "thin-window"} <= set(w) for w in table["warnings"].to_pylist())


def test_one_run_of_each_size_has_exponents_without_intervals(write, tmp_path):
    sweep(write(SMALL.replace("seeds = 2", "seeds = 1")), tmp_path / "sweep", threads=1)
    table = joint(tmp_path)
    assert table["ci_low"].null_count == table.num_rows
    assert table["exponent"].null_count < table.num_rows
    assert all("no-interval" in w for w in table["warnings"].to_pylist())


def test_a_part_is_the_same_bytes_whoever_computes_it(swept, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    files = []
    for name, threads in (("one", 1), ("two", 2)):
        sweep(swept / "sweep.toml", tmp_path / name, threads=threads)
        files.append({p.name: p.read_bytes() for p in (tmp_path / name / "parts").iterdir()})
    assert files[0] == files[1]
    assert len(files[0]) == 4
    assert (tmp_path / "one/sweep.parquet").read_bytes() == (
        tmp_path / "two/sweep.parquet"
    ).read_bytes()


def test_points_that_share_a_training_train_once(swept, tmp_path, monkeypatch):
    trained, real = [], tasks.train
    monkeypatch.setattr(tasks, "train", lambda **o: trained.append(o["lr"]) or real(**o))
    sweep(swept / "sweep.toml", tmp_path / "sweep", threads=1)
    assert trained == [0.5, 1.0]


def test_with_fewer_trainings_than_workers_the_points_of_one_are_divided(swept, tmp_path):
    plan = read_plan(swept / "sweep.toml")
    wanted = {p.key for p in plan.points}
    divided = tasks.tasks_of(plan, wanted, tmp_path, 4, True)
    assert [len(t.points) for t in divided] == [1, 1, 1, 1]
    assert [len(t.points) for t in tasks.tasks_of(plan, wanted, tmp_path, 1, True)] == [2, 2]
    assert {p.key for t in divided for p in t.points} == wanted


def both(path, folder):
    sweep(path, folder, threads=1)


def test_two_sweeps_on_one_folder_at_once_end_with_the_same_table(swept, tmp_path):
    context = multiprocessing.get_context("spawn")
    running = [
        context.Process(target=both, args=(swept / "sweep.toml", tmp_path / "sweep"))
        for _ in range(2)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
        assert process.exitcode == 0
    assert joint(tmp_path).equals(joint(swept))
    assert len(parts(tmp_path)) == 4


def killed(task):
    """Stands in for `compute`: the process dies where the point is of the largest rate."""
    if any(point.training.lr == 1.0 for point in task.points):
        os._exit(9)
    return tasks.compute(task)


@pytest.mark.slow
def test_a_process_that_is_killed_costs_its_own_points_and_no_others(swept, tmp_path, monkeypatch):
    from grokcrit.sweeps import local

    monkeypatch.setattr(local, "compute", killed)
    found = sweep(swept / "sweep.toml", tmp_path / "sweep", threads=2)
    rates = {p.key: p.training.lr for p in read_plan(swept / "sweep.toml").points}
    assert {rates[key] for key in found.failed} == {1.0}
    assert len(found.failed) == 2
    assert all("was killed" in reason for reason in found.failed.values())
    monkeypatch.undo()
    assert sweep(swept / "sweep.toml", tmp_path / "sweep", threads=2).failed == {}
    assert joint(tmp_path).equals(joint(swept))


def test_another_version_on_a_worker_is_refused(swept, tmp_path):
    plan = read_plan(swept / "sweep.toml")
    (tmp_path / "parts").mkdir()
    (first, *_) = tasks.tasks_of(plan, {p.key for p in plan.points}, tmp_path, 1, True)
    with pytest.raises(GrokcritError, match="install the same version on both"):
        tasks.compute(dataclasses.replace(first, code="0.0.0+other"))


def test_a_worker_that_does_not_see_the_folder_says_so(swept, tmp_path):
    plan = read_plan(swept / "sweep.toml")
    (first, *_) = tasks.tasks_of(plan, {p.key for p in plan.points}, tmp_path / "no", 1, True)
    with pytest.raises(GrokcritError, match="does not see the folder"):
        tasks.compute(first)
    with pytest.raises(GrokcritError, match="does not see the folder"):
        tasks.compute(dataclasses.replace(first, folder=str(swept / "sweep"), token="absent"))


def test_a_folder_that_is_a_file_is_refused_before_anything_runs(swept, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(TableError, match="cannot make the folder"):
        sweep(swept / "sweep.toml", tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_record_of_a_part_leads_back_to_its_training(swept):
    found = reading.Inputs(parts(swept)[0], SWEEP).records[0]
    assert found["inputs"][0]["schema"] == "avalanche/1"
    assert found["inputs"][0]["inputs"][0]["schema"] == "train/1"
    assert found["configuration"]["train"]["hidden"] == [4, 6, 9]
    assert found["command_line"] is None


def test_progress_counts_the_points_up_to_all_of_them(copied):
    for part in parts(copied)[:2]:
        part.unlink()
    seen = []
    again(copied, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    assert [total for _, total in seen] == [4] * len(seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
