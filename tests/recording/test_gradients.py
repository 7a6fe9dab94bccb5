"""The recorder's vectors are autograd's, however the gradient came about."""

import os
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.base.errors import RecorderError  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import (  # noqa: E402
    RUN,
    by_autograd,
    gradients,
    loss_of,
    mlp,
    rows,
)


def recorded(recorder, model, **options):
    """What one record of step 0 leaves in the folder."""
    assert recorder.record(model, 0, **options)
    recorder.close()
    (found,) = gradients(recorder._rows.folder)
    return found


def test_what_is_recorded_is_the_gradient_of_autograd_at_each_step(tmp_path):
    model, wanted = mlp(), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    with GradientRecorder(tmp_path, **RUN, every=3, part_snapshots=2) as recorder:
        for step in range(10):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            if step % 3 == 0:
                wanted.append(by_autograd(model, loss))
            loss.backward()
            taken = recorder.record(
                model, step, loss=loss, train_accuracy=0.5, test_accuracy=torch.tensor(0.25)
            )
            assert taken == (step % 3 == 0)
            optimizer.step()
    table = Inputs(tmp_path, TRAIN).read()
    assert table["epoch"].to_pylist() == [0, 3, 6, 9]
    assert np.array_equal(np.array(table["gradient"].to_pylist(), np.float32), np.stack(wanted))
    assert table["n_params"].to_pylist() == [32] * 4
    assert table["train_accuracy"].to_pylist() == [0.5] * 4
    assert table["test_accuracy"].to_pylist() == [0.25] * 4
    assert table["loss"].null_count == 0
    assert table["grok_epoch"].null_count == 4
    assert len(list(tmp_path.glob("*.parquet"))) == 2


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [(torch.float64, "double"), (torch.float32, "float"), (torch.bfloat16, "float")],
)
def test_single_precision_stays_single_and_double_double(tmp_path, dtype, kind):
    model = mlp(dtype=dtype)
    loss_of(model, 0, dtype).backward()
    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.record(model, 0)
    (path,) = tmp_path.glob("*.parquet")
    assert str(pq.read_schema(path).field("gradient").type.value_type) == kind
    by_hand = np.concatenate([p.grad.double().numpy().ravel() for _, p in model.named_parameters()])
    assert np.array_equal(gradients(tmp_path)[0], by_hand)


def test_accumulated_gradients_are_those_of_the_summed_loss(recorder):
    model = mlp(dtype=torch.float64)
    losses = [loss_of(model, step, torch.float64) / 3 for step in range(3)]
    wanted = by_autograd(model, sum(losses))
    for loss in losses:
        loss.backward()
    assert np.allclose(recorded(recorder, model), wanted, rtol=1e-12, atol=1e-16)


def test_frozen_parameters_are_left_out(recorder):
    model = mlp()
    model[0].weight.requires_grad_(False)
    loss = loss_of(model, 0)
    wanted = by_autograd(model, loss)
    loss.backward()
    found = recorded(recorder, model)
    assert len(found) == 32 - 15
    assert np.array_equal(found, wanted)


def test_parameter_groups_do_not_change_the_order(tmp_path):
    model = mlp()
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 0.2},
        {"params": [p for p in model.parameters() if p.ndim == 2], "lr": 0.1},
    ]
    optimizer = torch.optim.SGD(groups)
    loss = loss_of(model, 0)
    wanted = by_autograd(model, loss)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.attach(optimizer, model)
        loss.backward()
        optimizer.step()
    assert np.array_equal(gradients(tmp_path)[0], wanted)


def test_tied_parameters_are_there_once_with_the_gradient_of_both_uses(recorder):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    loss = model(torch.ones(2, 4)).square().mean()
    wanted = by_autograd(model, loss)
    loss.backward()
    found = recorded(recorder, model)
    assert len(found) == 16 + 4 + 4
    assert np.array_equal(found, wanted.astype(np.float64))


def test_patterns_choose_parameters_by_name(tmp_path):
    model = mlp()
    loss_of(model, 0).backward()
    with GradientRecorder(tmp_path, **RUN, include=["*.weight"], exclude=["2.*"]) as recorder:
        recorder.record(model, 0)
    assert np.array_equal(gradients(tmp_path)[0], model[0].weight.grad.numpy().ravel())
    assert list(Inputs(tmp_path, TRAIN).widths.values()) == [
        [{"name": "0.weight", "shape": [5, 3], "offset": 0}]
    ]


def test_sparse_gradients_are_recorded_whole(recorder):
    model = nn.Embedding(6, 2, sparse=True)
    model(torch.tensor([1, 4, 4])).sum().backward()
    wanted = np.zeros((6, 2))
    wanted[1], wanted[4] = 1, 2
    assert np.array_equal(recorded(recorder, model), wanted.ravel())


def test_compiled_and_wrapped_models_have_the_plain_names(recorder):
    model = mlp()
    loss_of(model, 0).backward()
    assert recorder.record(nn.DataParallel(torch.compile(model, backend="eager")), 0)
    assert [t["name"] for t in recorder._rows.layout] == [n for n, _ in model.named_parameters()]


def test_a_parameter_without_a_gradient_is_refused_by_name_unless_zeros_are_asked_for(tmp_path):
    model = mlp()
    model.extra = nn.Parameter(torch.ones(2))
    loss = loss_of(model, 0)
    loss.backward()
    recorder = GradientRecorder(tmp_path / "no", **RUN)
    with pytest.raises(RecorderError, match=r"^extra took no part .*missing='zeros'"):
        recorder.record(model, 0)
    with GradientRecorder(tmp_path / "yes", **RUN, missing="zeros") as recorder:
        recorder.record(model, 0)
    place = [n for n, _ in model.named_parameters()].index("extra")
    assert place == 0
    found = gradients(tmp_path / "yes")[0]
    assert not found[:2].any()
    assert np.array_equal(found[2:17], model[0].weight.grad.numpy().ravel())


@pytest.mark.parametrize("missing", ["refuse", "zeros"])
def test_recording_before_backward_or_after_zero_grad_is_refused(tmp_path, missing):
    recorder = GradientRecorder(tmp_path, **RUN, missing=missing)
    with pytest.raises(RecorderError, match=r"after loss.backward\(\) and before"):
        recorder.record(mlp(), 0)
    recorder.close()
    assert not list(tmp_path.iterdir())


def test_under_autocast_the_gradient_of_the_float_parameters_is_recorded(recorder):
    model = mlp()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, 0)
    wanted = by_autograd(model, loss)
    loss.backward()
    found = recorded(recorder, model)
    assert found.any()
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("unscaled", [False, True])
def test_gradients_are_divided_by_the_scale_unless_they_are_already(recorder, unscaled):
    model, scaler = mlp(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = loss_of(model, 0)
    wanted = by_autograd(model, loss)
    scaler.scale(loss).backward()
    assert not np.allclose(model[0].bias.grad.numpy(), wanted[15:20])
    if unscaled:
        scaler.unscale_(optimizer)
    # A power of two scales exactly.
    assert np.array_equal(recorded(recorder, model, scaler=scaler), wanted)


def test_recording_after_the_scalers_step_is_refused(recorder):
    model, scaler = mlp(), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler.scale(loss_of(model, 0)).backward()
    scaler.step(optimizer)
    with pytest.raises(RecorderError, match=r"before scaler\.step"):
        recorder.record(model, 0, scaler=scaler)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_step_that_overflowed_is_a_row_without_a_gradient(tmp_path, bad):
    model, scaler = mlp(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        for step in range(3):
            model.zero_grad()
            scaler.scale(loss_of(model, step)).backward()
            if step == 1:
                model[0].bias.grad[2] = bad
            assert recorder.record(model, step, loss=bad, scaler=scaler) == (step != 1)
    assert [each is None for each in gradients(tmp_path)] == [False, True, False]
    assert {row["loss"] for row in rows(tmp_path)} == {None}
    assert (recorder.snapshots, recorder.skipped) == (2, 1)
    assert grokcrit.avalanche(tmp_path)["epoch"].to_pylist() == [0, 2]


def test_a_gradient_that_is_not_finite_without_a_scaler_is_told_once(recorder):
    model = mlp()
    loss_of(model, 0).backward()
    model[0].bias.grad[0] = np.nan
    with pytest.warns(UserWarning, match="step 0 is not finite"):
        assert not recorder.record(model, 0)
    assert not recorder.record(model, 1)  # a second warning would be an error here


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("unscale", [False, True])
def test_an_attached_recorder_sees_unscaled_gradients_fused_or_not(tmp_path, fused, unscale):
    model, scaler = mlp(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=fused)
    wanted = []
    with GradientRecorder(tmp_path, **RUN, every=2) as recorder:
        recorder.attach(optimizer, model, measure=lambda: {"loss": 1.5})
        for step in range(4):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            if step % 2 == 0:
                wanted.append(by_autograd(model, loss))
            scaler.scale(loss).backward()
            if unscale:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
    assert np.array_equal(gradients(tmp_path), wanted)
    assert [row["epoch"] for row in rows(tmp_path)] == [0, 2]
    assert {row["loss"] for row in rows(tmp_path)} == {1.5}


def test_an_overflow_before_a_fused_step_is_recorded_as_skipped(tmp_path):
    model, scaler = mlp(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with GradientRecorder(tmp_path, **RUN) as recorder, warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.attach(optimizer, model)
        scaler.scale(loss_of(model, 0)).backward()
        model[0].bias.grad[0] = np.inf
        scaler.step(optimizer)
    assert gradients(tmp_path) == [None]


def test_attaching_is_idempotent_detachable_and_a_new_recorder_replaces_the_old(tmp_path):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        loss_of(model, 0).backward()
        optimizer.step()

    old = GradientRecorder(tmp_path, **RUN)
    old.attach(optimizer, model)
    old.attach(optimizer, model)
    step()
    assert old.snapshots == 1
    new = GradientRecorder(tmp_path, **RUN)
    new.attach(optimizer, model, first_step=1)
    step()
    assert (old.snapshots, new.snapshots) == (1, 1)
    new.detach()
    new.detach()
    step()
    assert (old.snapshots, new.snapshots) == (1, 1)
    assert len(optimizer._optimizer_step_pre_hooks) == 0
    old.close()
    new.close()
    assert [row["epoch"] for row in rows(tmp_path)] == [0, 1]


def test_models_whose_gradients_are_out_of_reach_are_refused_in_words(recorder):
    class FullyShardedDataParallel(nn.Module):
        pass

    class DeepSpeedEngine(nn.Module):
        pass

    zero = mlp()
    zero[0].weight.ds_id = 0
    for model, words in (
        (nn.Sequential(FullyShardedDataParallel()), "FullyShardedDataParallel .* fully_shard"),
        (DeepSpeedEngine(), "DeepSpeed keeps"),
        (zero, "DeepSpeed keeps"),
    ):
        with pytest.raises(RecorderError, match=words):
            recorder.record(model, 0)


def worker(rank, folder, port):
    """One of two processes of a distributed training; asserts what it sees."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = mlp(dtype=torch.float64)
    wrapped = nn.parallel.DistributedDataParallel(model)
    with GradientRecorder(folder, **RUN) as recorder:
        loss_of(wrapped, rank, torch.float64).backward()
        assert recorder.record(wrapped, 0) == (rank == 0)
    sharded = torch.distributed.fsdp.fully_shard(mlp())
    loss_of(sharded, 0).backward()
    recorder = GradientRecorder(f"{folder}-{rank}", **RUN)
    with pytest.raises(RecorderError, match="sample= .* gather=True"):
        recorder.record(sharded, 0)
    torch.distributed.destroy_process_group()


def test_two_processes_record_one_row_the_mean_of_their_gradients(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(worker, (str(tmp_path / "ddp"), port), nprocs=2)
    model = mlp(dtype=torch.float64)
    wanted = [by_autograd(model, loss_of(model, rank, torch.float64)) for rank in (0, 1)]
    (found,) = gradients(tmp_path / "ddp")
    assert np.allclose(found, np.mean(wanted, 0), rtol=1e-12, atol=1e-16)
    assert [t["name"] for t in Inputs(tmp_path / "ddp", TRAIN).widths["5"]] == [
        name for name, _ in model.named_parameters()
    ]


def test_large_gradients_whose_squares_overflow_are_recorded_all_the_same(recorder):
    model = mlp()
    loss_of(model, 0).backward()
    model[0].bias.grad.fill_(3e38)
    assert recorded(recorder, model)[15] == np.float32(3e38)
