"""Sharded models (FSDP2) in two processes: the rows of one process, up to the order of sums."""

import os
import socket
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from grokcrit.base.errors import RecorderError  # noqa: E402
from grokcrit.live.callback import Recording  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import AVALANCHE, SIGNALS, TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402

WAYS = {
    "sampled": {"sample": 40, "keep": "both"},
    "gathered": {"gather": True, "keep": "both"},
    "gathered-sample": {"gather": True, "keep": "both", "sample": 40},
    "budget": {"sample": 40, "keep": "both", "budget": 0.2},
    "asked": {"sample": 40, "keep": "both", "budget": 0.2, "asks": True},
    "callback": {"sample": 40, "keep": "both", "budget": 0.2, "callback": True},
    "skipping": {"sample": 40, "keep": "both", "skips": 4},
    "signals": {"sample": 40, "keep": "both", "signals": "all", "halves": (int, int)},
    "signals-gathered": {"gather": True, "keep": "both", "signals": "all", "halves": (int, int)},
}
CASCADE = {"surrogate": ("none", "gaussian", "permute"), "topology": "affine", "degree": 4}


def model_of():
    """Rows that two processes share evenly, unevenly, and one tensor that only one of them has."""
    torch.manual_seed(0)
    layers = Skipping(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 4), nn.Linear(4, 1))
    return layers.to(torch.float64)


def data(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    return x, x.sum(1, keepdim=True).sin()


class Skipping(nn.Sequential):
    """Layers of which one takes no part at a step."""

    skips = False

    def forward(self, x):
        for k, layer in enumerate(self):
            x = x if self.skips and k == 3 else layer(x)
        return x.sum(1, keepdim=True)


def trained(
    folder, model, rank, processes, asks=False, callback=False, skips=None, halves=None, **options
):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    named = {"task": "sums", "width": 7, "seed": 0, "every": 2, "case": "x", "cascade": CASCADE}
    taken, said = [], []
    if callback:
        hooked = Recording(folder, **named, **options)
        hooked.begin(model, 0, "gradient")
        recorder = hooked.recorder
    else:
        recorder = GradientRecorder(folder, **named, **options)
    with recorder:
        for step in range(9):
            x, y = data(step)
            mine = slice(rank, None, processes)
            optimizer.zero_grad()
            model.skips = step == skips
            loss = nn.functional.mse_loss(model(x[mine]), y[mine])
            loss.backward()
            if callback:
                hooked.take(model, step, loss=0.5)
            elif recorder.due(step) or not asks:
                with warnings.catch_warnings(record=True) as warned:
                    warnings.simplefilter("always")  # also of the step without a gradient
                    taken.append(recorder.record(model, step, loss=0.5, halves=halves))
                said += [str(each.message) for each in warned]
            optimizer.step()
    # Of halves, once, and by the process that writes.
    of_halves = [message for message in said if "halves of the data are null" in message]
    assert len(of_halves) == (halves is not None and rank == 0)
    return taken


def worker(rank, folder, port):
    """One of two processes; asserts what it sees."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    for way, options in WAYS.items():
        model = model_of()
        for layer in model:
            fully_shard(layer)
        taken = trained(f"{folder}/{way}", fully_shard(model), rank, 2, **options)
        if way in ("sampled", "gathered", "gathered-sample"):
            assert taken == [rank == 0 and step % 2 == 0 for step in range(9)]
    replicated = nn.parallel.DistributedDataParallel(model_of())
    trained(f"{folder}/ddp", replicated, rank, 2, keep="both")
    columns = parallelize_module(
        model_of(),
        torch.distributed.init_device_mesh("cpu", (2,)),
        {"0": ColwiseParallel(), "2": RowwiseParallel()},
    )
    for parameter in columns.parameters():
        parameter.grad = torch.ones_like(parameter)
    with GradientRecorder(f"{folder}/tp", task="x", width=1, seed=0, sample=20) as recorder:
        assert recorder.record(columns, 0) == (rank == 0)
    with (
        GradientRecorder(f"{folder}/none", task="x", width=1, seed=0) as recorder,
        pytest.raises(RecorderError, match="sample= .* gather=True"),
    ):
        recorder.record(model, 0)
    # A forward pass after the backward leaves the root's own parameters whole, without gradients.
    model = model_of()
    fully_shard(model[2])
    model, x = fully_shard(model), data(0)[0]
    model(x).sum().backward()
    with torch.no_grad():
        model(x)
    options = {"sample": 20, "missing": "zeros"}
    with (
        GradientRecorder(f"{folder}/late", task="x", width=1, seed=0, **options) as recorder,
        pytest.raises(RecorderError, match="evaluate before"),
    ):
        recorder.record(model, 0)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # One run in five of this suite torch aborted while it was unloaded, after all this was done.
    os._exit(0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(worker, (str(folder), port), nprocs=2)
    return folder


def tables(folder):
    avalanches = AVALANCHE.ordered(Inputs(folder, AVALANCHE).read())
    return avalanches, Inputs(folder / "gradients", TRAIN).read()


@pytest.mark.parametrize("way", ["sampled", "gathered", "gathered-sample", "ddp"])
def test_two_processes_record_the_rows_of_one(two, tmp_path, way):
    """Would catch entries that a process puts in a wrong place, twice or not at all."""
    options = {**WAYS.get(way, {"keep": "both"}), "gather": False}
    trained(tmp_path, model_of(), 0, 1, **options)
    (rows, gradients), (wanted, whole) = tables(two / way), tables(tmp_path)
    for found, there in zip(gradients["gradient"], whole["gradient"], strict=True):
        found, there = (np.array(each.as_py()) for each in (found, there))
        assert np.abs(found - there).max() <= 1e-12 * np.linalg.norm(there)
    # Double precision: no entry is as near to the threshold as the order of a sum moves it.
    for name in rows.column_names:
        if name in ("threshold", "transported"):
            assert np.allclose(rows[name], wanted[name], rtol=1e-9)
        else:
            assert rows[name].equals(wanted[name]), name


@pytest.mark.parametrize("way", ["signals", "signals-gathered"])
def test_signals_of_two_processes_are_those_of_one(two, tmp_path, way):
    """Would catch weights of which a process's share is missing; of halves there are none."""
    options = {**WAYS[way], "gather": False, "halves": None}
    trained(tmp_path, model_of(), 0, 1, **options)
    found, wanted = (
        Inputs(folder / "signals", SIGNALS).read().to_pylist() for folder in (two / way, tmp_path)
    )
    assert len(found) == len(wanted)
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine["epoch"], mine["signal"]) == (theirs["epoch"], theirs["signal"])
        if mine["value"] is None:
            assert theirs["value"] is None
        else:
            assert mine["value"] == pytest.approx(theirs["value"], rel=1e-9, abs=1e-12), mine
    nulls = {row["signal"] for row in found if row["epoch"] == 8 and row["value"] is None}
    assert {"half-cosine", "commutator", "hessian-top", "hessian-trace"} <= nulls
    assert not {"weight-norm", "step-cosine", "density"} & nulls


@pytest.mark.parametrize("way", ["budget", "asked", "callback"])
def test_under_a_budget_all_processes_agree_on_what_is_due(two, way):
    """Would catch a process that waits for another: the test would not end."""
    rows, gradients = tables(two / way)
    assert rows["epoch"].unique().to_pylist() == gradients["epoch"].to_pylist()
    assert gradients["epoch"][0].as_py() == 0


def test_a_step_without_a_gradient_ends_no_process(two):
    """Would catch a process that raises where the others go on."""
    rows, gradients = tables(two / "skipping")
    assert rows["epoch"].unique().to_pylist() == [0, 2, 6, 8]
    taken = {row["epoch"]: row["gradient"] is not None for row in gradients.to_pylist()}
    assert taken == {0: True, 2: True, 4: False, 6: True, 8: True}


def test_tensors_cut_along_columns_are_put_in_place(two):
    """Would catch a shard that is read as if it were a run of rows."""
    (row,) = Inputs(two / "tp", TRAIN).read().to_pylist()
    assert row["gradient"] == [1.0] * 20
