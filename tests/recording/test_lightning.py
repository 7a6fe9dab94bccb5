"""The callback of Lightning, against the real Trainer."""

import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytestmark = [
    pytest.mark.extra("torch", "lightning"),
    pytest.mark.filterwarnings("ignore::UserWarning:lightning"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
]

import torch  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.live.lightning import AvalancheCallback  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import AVALANCHE, TRAIN  # noqa: E402
from tests.recording.models import ROOT  # noqa: E402
from tests.recording.module import BATCH, BATCHES, X, Y, module, trainer  # noqa: E402


@pytest.fixture(autouse=True)
def quiet():
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def fit(folder, **options):
    made, model, loader, watched, checkpoint = trainer(folder, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on loaders and workers
        made.fit(model, loader, loader, ckpt_path=checkpoint)
    return model, watched


def rows(folder):
    return AVALANCHE.ordered(Inputs(folder / "parts", AVALANCHE).read())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_vector_is_that_of_autograd_before_clipping(tmp_path, accumulation, clip, bf16):
    """Would catch a micro-batch's gradient, a clipped one, or a step that is off by one."""
    model, watched = fit(
        tmp_path,
        own={"keep": "both"},
        accumulate_grad_batches=accumulation,
        gradient_clip_val=clip,
        precision="bf16-mixed" if bf16 else "32-true",
    )
    found = Inputs(tmp_path / "parts/gradients", TRAIN).read().to_pylist()
    assert [row["epoch"] for row in found] == [0, 2, 4]
    for row in found:
        step, reference, wanted, losses = row["epoch"], module(), 0, 0.0
        reference.load_state_dict(watched.weights[step])
        for k in range(accumulation):
            first = (step * accumulation + k) % BATCHES * BATCH
            batch = slice(first, first + BATCH)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = torch.nn.functional.cross_entropy(reference(X[batch]), Y[batch])
            loss = loss / accumulation
            parts = torch.autograd.grad(loss, list(reference.parameters()))
            wanted = wanted + torch.cat([part.reshape(-1) for part in parts]).numpy()
            losses += loss.item()
        assert np.linalg.norm(row["gradient"] - wanted) < 1e-6 * np.linalg.norm(wanted)
        assert row["loss"] == pytest.approx(losses, rel=1e-6)
        assert row["field"] == "gradient"
        assert row["n_params"] == sum(p.numel() for p in model.parameters())


def test_the_accuracy_is_that_of_the_validation_at_that_step(tmp_path):
    """Would catch the sanity check before the training, or the validation of another step."""
    fit(tmp_path, val_check_interval=4, num_sanity_val_steps=2)
    found = rows(tmp_path).to_pylist()
    assert {row["epoch"]: row["test_accuracy"] for row in found} == {0: None, 2: None, 4: 0.25}


def test_no_weight_changes_by_one_bit(tmp_path):
    """Would catch a callback that draws from torch's random numbers or touches a gradient."""
    ends = []
    for callback in (False, True):
        model, _ = fit(tmp_path / str(callback), callback=callback, dropout=0.3)
        ends.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    assert torch.equal(*ends)


def test_a_killed_job_is_readable_and_resumes_without_a_step_lost_or_doubled(tmp_path):
    """Would catch rows that wait for the end, and steps after a checkpoint that come twice."""
    fit(tmp_path / "whole", steps=12)
    done = subprocess.run(
        [sys.executable, "-m", "tests.recording.module", tmp_path / "killed", "9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert rows(tmp_path / "killed")["epoch"].unique().to_pylist() == [0, 2, 4, 6]
    fit(tmp_path / "killed", steps=12, resumes=True)
    found, wanted = (grokcrit.avalanche(tmp_path / each / "parts") for each in ("killed", "whole"))
    # The checkpoint of step 8 was saved before the validation at step 8, which nobody repeats.
    names = [name for name in wanted.column_names if name != "test_accuracy"]
    assert found.select(names).equals(wanted.select(names))


def test_of_two_optimizers_the_one_that_is_named_is_recorded(tmp_path):
    """Would catch steps of the other one, which Lightning counts as well."""
    fit(tmp_path, two=True, steps=10, own={"optimizer": 1, "include": ["second.*"]})
    found = rows(tmp_path)
    assert found["epoch"].unique().to_pylist() == [0, 2, 4]  # of its five updates
    assert found["n_params"].unique().to_pylist() == [8 * 2 + 2]
    assert found["loss"].null_count == 0  # one backward serves both


def test_the_loss_of_a_group_that_is_cut_short_is_the_mean_over_its_batches(tmp_path):
    """Would catch a sum over two batches that was divided by three."""
    fit(
        tmp_path, accumulate_grad_batches=3, own={"every": 1}, constant=True, max_epochs=2, steps=-1
    )
    assert rows(tmp_path)["loss"].unique().to_pylist() == [3.0]


def test_a_second_training_with_the_same_callback_starts_anew(tmp_path):
    """Would catch an accuracy, a loss or a count of the first one."""
    made, model, loader, watched, _ = trainer(tmp_path, val_check_interval=4, steps=5)
    callback = made.callbacks[1]
    made.fit(model, loader, loader)
    again, model, loader, _, _ = trainer(tmp_path / "again", callback=False, steps=5)
    callback._folder = tmp_path / "again/parts"
    again.callbacks.append(callback)
    again.fit(model, loader)
    assert rows(tmp_path)["test_accuracy"].drop_null().to_pylist() == [0.25, 0.25]
    assert rows(tmp_path / "again")["test_accuracy"].null_count == 6


def test_a_dev_run_records_nothing_and_a_training_may_have_two_callbacks(tmp_path):
    fit(tmp_path, fast_dev_run=2)
    assert not (tmp_path / "parts").exists()
    other = AvalancheCallback(tmp_path / "other", task="sums", every=3, cascade={"degree": 4})
    fit(tmp_path, others=[other])
    assert rows(tmp_path)["epoch"].unique().to_pylist() == [0, 2, 4]
    assert len(list((tmp_path / "other").iterdir())) == 1


def test_a_training_that_fails_keeps_its_rows(tmp_path):
    with pytest.raises(FloatingPointError):
        fit(tmp_path, fails_at=5)
    assert rows(tmp_path)["epoch"].unique().to_pylist() == [0, 2, 4]
