"""The folder outlives any death, goes on after it, and refuses what is not its own."""

import copy
import os
import re
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.base.errors import OptionError, RecorderError, TableError  # noqa: E402
from grokcrit.live.recorder import _open as open_here  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import AVALANCHE, TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import ROOT, RUN, batch, loss_of, mlp, rows, train  # noqa: E402


def test_steps_that_are_not_due_touch_neither_the_model_nor_the_folder(tmp_path):
    with GradientRecorder(tmp_path, **RUN, every=10) as recorder:
        assert not recorder.record(None, 7)
        assert not recorder.due(7)
        assert recorder.due(20)
    assert not list(tmp_path.iterdir())


def test_the_folder_is_written_when_the_training_fails(tmp_path):
    model = mlp()
    loss_of(model, 0).backward()

    def failing():
        with GradientRecorder(tmp_path, **RUN) as recorder:
            recorder.record(model, 0)
            raise ZeroDivisionError
        return recorder

    with pytest.raises(ZeroDivisionError):
        failing()
    recorder = GradientRecorder(tmp_path, **RUN)
    recorder.close()
    assert len(rows(tmp_path)) == 1
    with pytest.raises(RecorderError, match="is closed"):
        recorder.record(model, 1)


def test_a_recorder_that_nobody_closes_writes_at_the_end_of_the_program(tmp_path):
    code = (
        "import sys; from grokcrit.torch import GradientRecorder;"
        "from tests.recording.models import loss_of, mlp;"
        "model = mlp(); loss_of(model, 0).backward();"
        "r = GradientRecorder(sys.argv[1], task='sums', width=5, seed=0); r.record(model, 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert len(rows(tmp_path)) == 1


def test_parts_are_cut_by_bytes_and_their_names_sort_by_step(tmp_path):
    model = mlp()
    loss_of(model, 0).backward()
    with GradientRecorder(tmp_path, **RUN, every=5, part_bytes=2 * 32 * 4) as recorder:
        for step in range(0, 10_001, 2000):
            recorder.record(model, step)
    paths = sorted(tmp_path.iterdir())
    assert [pq.read_table(p)["epoch"].to_pylist() for p in paths] == [
        [0, 2000],
        [4000, 6000],
        [8000, 10000],
    ]


def test_a_killed_run_leaves_a_readable_table_and_goes_on_to_that_of_an_undisturbed_one(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"

    arguments = [str(tmp_path / "killed"), str(checkpoint), "27"]
    command = [sys.executable, "-m", "tests.recording.models", *arguments]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    steps = [row["epoch"] for row in rows(tmp_path / "killed")]
    assert steps == list(range(0, 24, 2))
    assert GradientRecorder(tmp_path / "killed", **RUN, every=2).last_step == 22
    # The checkpoint is of step 20: 20 and 22 come again, and are not written twice.
    train(tmp_path / "killed", 40, checkpoint=checkpoint)
    train(tmp_path / "whole", 40)
    killed, whole = (Inputs(tmp_path / name, TRAIN).read() for name in ("killed", "whole"))
    assert killed.num_rows == 20
    assert killed.equals(whole)
    assert grokcrit.avalanche(tmp_path / "killed").equals(grokcrit.avalanche(tmp_path / "whole"))


def test_a_training_started_anew_in_the_folder_of_an_old_one_is_told_that_it_is_skipped(tmp_path):
    train(tmp_path, 10)
    before = rows(tmp_path)
    with pytest.warns(UserWarning, match="steps up to 8 of this run .* are skipped") as told:
        recorder = train(tmp_path, 6)
    assert len(told) == 1
    assert recorder.snapshots == 0
    assert rows(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task": "other"}, "task 'sums', not 'other'"),
        ({"every": 3}, "every 2, not 3"),
        ({"include": ["0.*"]}, "include None, not"),
        ({"missing": "zeros"}, "missing 'refuse', not 'zeros'"),
        ({"configuration": {"lr": 1}}, "configuration"),
        ({"case": "mine"}, "not 'mine'"),
        ({"control": "other"}, "control"),
    ],
)
def test_a_folder_of_other_options_is_refused(tmp_path, change, words):
    train(tmp_path, 4)
    with pytest.raises(TableError, match=words):
        GradientRecorder(tmp_path, **{**RUN, "every": 2, **change})


def test_a_folder_of_another_model_is_refused(tmp_path):
    train(tmp_path, 4)
    for seed in (0, 1):  # its own run, and another of that width
        with GradientRecorder(tmp_path, task="sums", width=5, seed=seed, every=2) as recorder:
            model = mlp(6)
            loss_of(model, 0).backward()
            with pytest.raises(TableError, match=r"0\.weight \[6, 3\] stands where"):
                recorder.record(model, 4)


@pytest.mark.parametrize(
    "bad",
    [
        {"every": 0},
        {"width": 0},
        {"seed": -1},
        {"field": "raw"},
        {"missing": "no"},
        {"include": "*"},
        {"part_bytes": 0},
        {"configuration": {"model": object()}},
        {"control": " "},
    ],
)
def test_an_option_out_of_its_range_is_refused(tmp_path, bad):
    with pytest.raises(OptionError) as caught:
        GradientRecorder(tmp_path, **{**RUN, **bad})
    assert caught.value.name in bad


def test_runs_of_several_widths_seeds_and_fields_share_a_folder_that_avalanche_reads(tmp_path):
    wanted = []
    for width in (3, 5, 8):
        for seed in (0, 1):
            for field in ("clipped-gradient", "gradient"):
                model = mlp(width, seed)
                loss_of(model, 0).backward()
                options = {"task": "sums", "width": width, "seed": seed, "field": field}
                with GradientRecorder(tmp_path, **options) as recorder:
                    recorder.record(model, 0)
                wanted.append((field, width, seed))
    table = grokcrit.avalanche(tmp_path, surrogate=("none", "permute-layers"))
    names = list(zip(*(table[c].to_pylist() for c in ("field", "width", "seed")), strict=True))
    assert sorted(names) == sorted(wanted * 2)
    assert min(table["size"].to_pylist()) > 0


def test_a_disk_that_fails_is_told_and_the_rows_wait(tmp_path, monkeypatch):
    model = mlp()
    loss_of(model, 0).backward()
    recorder = GradientRecorder(tmp_path, **RUN)
    recorder.record(model, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(TableError, match="No space left"):
            recorder.flush()
    assert not list(tmp_path.iterdir())
    recorder.close()
    assert len(rows(tmp_path)) == 1


def test_batches_are_the_same_in_every_process():
    # What the killed run and the distributed one rest on.
    assert torch.equal(batch(3)[0], batch(3)[0])
    assert not torch.equal(batch(3)[0], batch(4)[0])


def test_the_python_shown_in_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/live.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    known = {"model": model, "optimizer": optimizer, "steps": 21}
    exec(code, {**known, "loss_of": lambda model: loss_of(model, 0)})
    kept = Inputs("parts", AVALANCHE).read()
    assert kept["epoch"].unique().to_pylist() == [0, 10, 20]
    assert kept["surrogate"].unique().to_pylist() == ["gaussian", "none"]


def test_a_second_recorder_of_the_same_steps_is_refused_before_it_overwrites(tmp_path):
    model = mlp()
    one = GradientRecorder(tmp_path, **RUN)
    open_here.clear()  # as if the other one were in another process
    other = GradientRecorder(tmp_path, **RUN)
    for recorder in (one, other):
        loss_of(model, 0).backward()
        recorder.record(model, 0)
    one.close()
    with pytest.raises(TableError, match="another recorder has written step 0"):
        other.close()
    assert len(list(tmp_path.glob("*.parquet"))) == 1
    other._finalizer.detach()


def test_a_recorder_that_is_made_again_goes_on_after_the_rows_of_the_old_one(tmp_path):
    """Would catch an old recorder, of a cell run again, that writes after the new one began."""
    model = mlp()
    loss_of(model, 0).backward()
    old = GradientRecorder(tmp_path, **RUN, keep="avalanches")
    for step in range(5):
        old.record(model, step)
    new = GradientRecorder(tmp_path, **RUN, keep="avalanches")
    assert new.last_step == 4
    del old
    for step in range(5, 8):
        new.record(model, step)
    assert copy.deepcopy({"model": model, "recorder": new})["recorder"] is new
    new.close()
    assert Inputs(tmp_path, AVALANCHE).read()["epoch"].unique().to_pylist() == list(range(8))


def test_a_second_training_in_one_recorder_is_warned_of(tmp_path):
    model = mlp()
    with GradientRecorder(tmp_path, **RUN) as recorder:
        loss_of(model, 0).backward()
        assert recorder.record(model, 0)
        with pytest.warns(UserWarning, match="a recorder of its own"):
            assert not recorder.record(model, 0)
