"""The callback of the Hugging Face Trainer, against the real one."""

import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch", "huggingface")

import torch  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.base.errors import OptionError  # noqa: E402
from grokcrit.live.huggingface import AvalancheCallback  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import AVALANCHE, TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.gpt import BATCH, LABELS, TEXT, gpt, trainer  # noqa: E402
from tests.recording.models import ROOT  # noqa: E402


def by_autograd(weights, step, accumulation, clip, bf16):
    """The gradient of a step by autograd alone: mean over the batches, clipped by its norm."""
    model = gpt()
    for parameter, value in zip(model.parameters(), weights, strict=True):
        parameter.data.copy_(value)
    joint = 0
    for k in range(accumulation):
        rows = slice((step * accumulation + k) * BATCH, (step * accumulation + k + 1) * BATCH)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=TEXT[rows], labels=LABELS[rows]).loss / accumulation
        parts = torch.autograd.grad(loss, list(model.parameters()))
        joint = joint + torch.cat([part.reshape(-1) for part in parts])
    return joint * min(1, clip / (joint.norm() + 1e-6)) if clip else joint


def rows(folder):
    return AVALANCHE.ordered(Inputs(folder / "parts", AVALANCHE).read())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_vector_is_that_of_autograd(tmp_path, accumulation, clip, bf16):
    """Would catch a micro-batch's gradient, one before clipping, or a step that is off by one."""
    made, watched = trainer(
        tmp_path,
        own={"keep": "both"},
        gradient_accumulation_steps=accumulation,
        max_grad_norm=clip,
        bf16=bf16,
    )
    made.train()
    found = Inputs(tmp_path / "parts/gradients", TRAIN).read().to_pylist()
    assert [row["epoch"] for row in found] == [0, 2, 4]
    for row in found:
        wanted = by_autograd(watched.weights[row["epoch"]], row["epoch"], accumulation, clip, bf16)
        assert np.linalg.norm(row["gradient"] - wanted.numpy()) < 1e-6 * wanted.norm()
        assert row["field"] == ("clipped-gradient" if clip else "gradient")
        assert row["n_params"] == sum(p.numel() for p in made.model.parameters())


def test_the_loss_and_the_accuracy_are_those_of_the_trainer_at_that_step(tmp_path):
    """Would catch a number of another step."""
    made, _ = trainer(tmp_path, eval_strategy="steps", eval_steps=4)
    made.train()
    logged = {each["step"]: each["loss"] for each in made.state.log_history if "loss" in each}
    found = rows(tmp_path).to_pylist()
    assert {row["epoch"]: row["loss"] for row in found} == {0: None, 2: logged[2], 4: logged[4]}
    assert {row["epoch"]: row["test_accuracy"] for row in found} == {0: None, 2: None, 4: 0.25}


def test_a_measure_of_the_users_comes_first(tmp_path):
    def measure(model):
        assert isinstance(model, torch.nn.Module)
        return {"loss": 0.5, "train_accuracy": 0.125}

    made, _ = trainer(tmp_path, own={"measure": measure, "width": 8, "seed": 3})
    made.train()
    found = rows(tmp_path)
    assert found["loss"].unique().to_pylist() == [0.5]
    assert found["train_accuracy"].unique().to_pylist() == [0.125]
    assert (found["width"][0].as_py(), found["seed"][0].as_py()) == (8, 3)


def test_no_weight_changes_by_one_bit(tmp_path):
    """Would catch a callback that draws from torch's random numbers or touches a gradient."""
    ends = []
    for callback in (False, True):
        made, _ = trainer(tmp_path / str(callback), model=gpt(dropout=0.3), callback=callback)
        made.train()
        ends.append(torch.cat([p.detach().reshape(-1) for p in made.model.parameters()]))
    assert torch.equal(*ends)


def test_a_killed_job_is_readable_and_resumes_without_a_step_lost_or_doubled(tmp_path):
    """Would catch rows that wait for the end, and steps after a checkpoint that come twice."""
    whole, _ = trainer(tmp_path / "whole", max_steps=12, save_strategy="steps", save_steps=4)
    whole.train()
    done = subprocess.run(
        [sys.executable, "-m", "tests.recording.gpt", tmp_path / "killed", "9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert rows(tmp_path / "killed")["epoch"].unique().to_pylist() == [0, 2, 4, 6]
    again, _ = trainer(tmp_path / "killed", max_steps=12, save_strategy="steps", save_steps=4)
    again.train(resume_from_checkpoint=True)
    assert grokcrit.avalanche(tmp_path / "killed/parts").equals(
        grokcrit.avalanche(tmp_path / "whole/parts")
    )


def test_a_training_that_fails_and_resumes_in_the_same_process_has_each_step_once(tmp_path):
    """Would catch the recorder of the first one, which writes once the second one has begun."""

    class Failing(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 9 and not failed:
                failed.append(True)
                raise FloatingPointError

    failed = []
    made, _ = trainer(tmp_path, max_steps=12, save_strategy="steps", save_steps=4)
    made.add_callback(Failing())
    with pytest.raises(FloatingPointError):
        made.train()
    made.train(resume_from_checkpoint=True)
    assert rows(tmp_path)["epoch"].to_pylist() == 2 * list(range(0, 12, 2))


def test_a_wrong_option_is_told_before_the_training(tmp_path):
    with pytest.raises(OptionError, match="budget"):
        AvalancheCallback(tmp_path, task="text", budget=3)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_optimizer_that_accelerate_wraps_is_recorded_once_per_update(tmp_path, accumulation):
    """Would catch a hook on the wrapper, which is called for every batch."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
    model = gpt()
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.01))
    cascade = {"degree": 4}
    with GradientRecorder(
        tmp_path / "parts", task="text", width=8, seed=0, keep="both", cascade=cascade
    ) as recorder:
        recorder.attach(optimizer, model)
        for k in range(4 * accumulation):
            with accelerator.accumulate(model):
                batch = slice(k * BATCH, (k + 1) * BATCH)
                loss = model(input_ids=TEXT[batch], labels=LABELS[batch]).loss
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
    found = Inputs(tmp_path / "parts/gradients", TRAIN).read().to_pylist()
    assert [row["epoch"] for row in found] == [0, 1, 2, 3]
    wanted = by_autograd(list(gpt().parameters()), 0, accumulation, 0, False).numpy()
    assert np.linalg.norm(found[0]["gradient"] - wanted) < 1e-6 * np.linalg.norm(wanted)
