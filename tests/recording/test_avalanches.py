"""Cascades in the loop: the rows are those that `avalanche` makes of the gradients afterwards."""

import json
import tracemalloc

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import pyarrow.compute as pc  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.base.errors import OptionError, ShapeError, TableError  # noqa: E402
from grokcrit.base.options import CascadeOptions  # noqa: E402
from grokcrit.base.sample import Sample  # noqa: E402
from grokcrit.base.stage_options import AvalancheOptions  # noqa: E402
from grokcrit.base.vocabulary import SURROGATES  # noqa: E402
from grokcrit.cascades.counting import row_of  # noqa: E402
from grokcrit.cascades.graphs import graph_of  # noqa: E402
from grokcrit.live import device, vectors  # noqa: E402
from grokcrit.live.callback import Recording  # noqa: E402
from grokcrit.live.cascading import Cascades  # noqa: E402
from grokcrit.live.recorder import _open as open_here  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import AVALANCHE, TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import RUN, loss_of, mlp  # noqa: E402

CASCADE = {"surrogate": SURROGATES, "replicates": 2, "topology": ("ba", "affine"), "degree": 4}


def trained(folder, steps=21, first=0, width=5, every=2, **options):
    """Train an MLP; accuracies rise from 0 to 1."""
    model = mlp(width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"keep": "avalanches", "part_snapshots": 4, **options}
    with GradientRecorder(
        folder, task="sums", width=width, seed=0, every=every, **options
    ) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            if step >= first:
                told = {"train_accuracy": min(1, step / 10), "test_accuracy": min(1, step / 20)}
                recorder.record(model, step, loss=loss, **told)
            optimizer.step()
    return recorder


def kept(folder):
    return AVALANCHE.ordered(Inputs(folder, AVALANCHE).read())


@pytest.mark.parametrize("sample", [None, 20])
def test_in_the_loop_equals_afterwards(tmp_path, sample):
    """Would catch a draw, a graph, an order or a column that differs from the stage's."""
    for width in (5, 9):
        trained(tmp_path, width=width, keep="both", cascade=CASCADE, sample=sample)
    rows, afterwards = kept(tmp_path), grokcrit.avalanche(tmp_path / "gradients", **CASCADE)
    # 2 widths, 11 steps, 2 graphs; two draws of each null model that draws.
    assert rows.num_rows == 2 * 11 * 2 * (2 + 2 * (len(SURROGATES) - 2))
    assert rows.drop_columns(["memorise_epoch"]).equals(afterwards.drop_columns(["memorise_epoch"]))
    for options in ({}, {"grok_accuracy": 0.5}):
        joined = grokcrit.avalanche(tmp_path, **options)
        wanted = grokcrit.avalanche(tmp_path / "gradients", **CASCADE, **options)
        assert joined.equals(wanted)
        assert joined["memorise_epoch"].unique().to_pylist() == [10]
    assert joined["grok_epoch"].unique().to_pylist() == [12]


def test_what_is_kept_does_not_depend_on_what_else_is(tmp_path):
    """Would catch a cascade that runs on what another one left behind."""
    trained(tmp_path / "one")
    trained(tmp_path / "both", keep="both", cascade={"surrogate": ("none", "permute", "gaussian")})
    found = kept(tmp_path / "both").filter(pc.field("surrogate") != "permute")
    assert kept(tmp_path / "one").equals(found)


def test_a_sample_is_that_of_ingest(tmp_path):
    """Would catch two ideas of a sample: a recorder's, and that of saved vectors."""
    trained(tmp_path / "some", keep="gradients", sample="40%", steps=3)
    trained(tmp_path / "all", keep="gradients", steps=3)
    some, whole = (Inputs(tmp_path / name, TRAIN).read() for name in ("some", "all"))
    for row in whole.to_pylist():
        np.save(tmp_path / f"{row['epoch']}.npy", np.array(row["gradient"], np.float32))
    files = [tmp_path / f"{step}.npy" for step in whole["epoch"].to_pylist()]
    ingested = grokcrit.ingest(files, pattern="{step}.npy", size=5, sample="40%")
    assert some["n_params"].to_pylist() == [13, 13]
    assert some["gradient"].to_pylist() == ingested["gradient"].to_pylist()


def test_a_run_goes_on_where_it_was_killed(tmp_path):
    """Would catch a part that grows and, after a restart, loses or doubles a step."""
    trained(tmp_path / "whole")
    trained(tmp_path / "parts", steps=9)
    with pytest.warns(UserWarning, match="steps up to 8 of this run"):
        trained(tmp_path / "parts")
    assert kept(tmp_path / "parts").equals(kept(tmp_path / "whole"))


def test_of_two_folders_the_one_that_is_ahead_waits_for_the_other(tmp_path, monkeypatch):
    """Would catch rows that come twice: avalanches are on the disk before gradients are."""
    monkeypatch.setattr("grokcrit.live.parts.GROWING", 0.0)
    recorder = GradientRecorder(
        tmp_path / "parts", task="sums", width=5, seed=0, every=2, keep="both", part_snapshots=4
    )
    model = mlp()
    for step in range(3):
        loss_of(model, step).backward()
        recorder.record(model, step)
        model.zero_grad()
    recorder._finalizer.detach()  # killed: the gradients that wait are lost
    open_here.clear()
    assert kept(tmp_path / "parts")["epoch"].unique().to_pylist() == [0, 2]
    assert not any((tmp_path / "parts/gradients").iterdir())
    trained(tmp_path / "parts", keep="both")
    for name in ("parts", "parts/gradients"):
        table = Inputs(tmp_path / name, AVALANCHE if name == "parts" else TRAIN).read()
        assert sorted(table["epoch"].unique().to_pylist()) == list(range(0, 21, 2))


def test_a_gradient_too_large_to_reckon_with_is_left_out(tmp_path):
    """Would catch a row that can never be written, and keeps all others from it."""
    model = mlp(dtype=torch.float64)
    with GradientRecorder(tmp_path, **RUN, keep="avalanches", part_snapshots=2) as recorder:
        for step in range(5):
            loss_of(model, step, torch.float64).backward()
            if step == 1:
                for parameter in model.parameters():
                    parameter.grad.mul_(1e305)
                with pytest.warns(UserWarning, match="too large"):
                    recorder.record(model, step)
            else:
                recorder.record(model, step)
            model.zero_grad()
    assert kept(tmp_path)["epoch"].unique().to_pylist() == [0, 2, 3, 4]


def test_a_model_whose_size_no_column_holds_needs_a_name_for_it(tmp_path):
    """Would catch a default that ends a training of 2.5e9 parameters before it begins."""
    model = nn.Linear(50_000, 50_000, bias=False, device="meta")
    with pytest.raises(OptionError, match="must be given"):
        Recording(tmp_path, task="text", sample=100).begin(model, 0, "gradient")
    Recording(tmp_path, task="text", sample=100, width=2500).begin(model, 0, "gradient")


def test_gradients_of_any_layout_are_sampled_as_if_they_were_dense(tmp_path):
    """Would catch a transposed, expanded or sparse gradient that is read by its memory."""
    dense = torch.zeros(6, 7)
    dense[1:4, 2:5] = torch.randn(3, 3)
    layouts = {
        "transposed": dense.T.contiguous().T,
        "expanded": torch.randn(6, 1).expand(6, 7),
        "coo": dense.to_sparse(),
        "strided": torch.randn(12, 14)[::2, ::2],
    }
    for name, gradient in layouts.items():
        model = nn.Linear(7, 6, bias=False)
        model.weight.grad = gradient
        for sample in (None, 20):
            place = tmp_path / f"{name}-{sample}"
            with GradientRecorder(place, **RUN, sample=sample) as recorder:
                recorder.record(model, 0)
            (found,) = Inputs(place, TRAIN).read()["gradient"].to_pylist()
            whole = gradient.to_dense().reshape(-1).tolist()
            wanted = (
                whole
                if sample is None
                else [whole[k] for k in Sample(0, RUN["width"], 42, 20).places(0, 20)]
            )
            assert found == wanted


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_gradients_in_compressed_rows_are_made_dense():
    """Would catch a layout that is neither strided nor COO."""
    dense, place = torch.eye(3), torch.empty(9)
    vectors.fill(place, dense.to_sparse_csr(), 0, None)
    assert place.tolist() == dense.reshape(-1).tolist()


def test_a_part_grows_and_is_whole_at_any_time(tmp_path, monkeypatch):
    """Would catch rows that nobody sees before a part is full, and parts without an end."""
    monkeypatch.setattr("grokcrit.live.parts.GROWING", 0.0)
    model = mlp()
    with GradientRecorder(tmp_path, **RUN, keep="avalanches", part_snapshots=3) as recorder:
        for step in range(5):
            loss_of(model, step).backward()
            recorder.record(model, step)
            assert kept(tmp_path)["epoch"].unique().to_pylist() == list(range(step + 1))
    names = sorted(path.name[-18:] for path in tmp_path.iterdir())
    assert names == ["0000000000.parquet", "0000000003.parquet"]


@pytest.mark.parametrize("change", [{"cascade": {"degree": 4}}, {"sample": 9}])
def test_a_folder_of_other_cascades_or_samples_is_refused(tmp_path, change):
    trained(tmp_path, steps=3)
    with pytest.raises(TableError, match=next(iter(change.get("cascade", change)))):
        trained(tmp_path, **change)


def test_of_a_sample_the_model_is_checked_whole(tmp_path):
    """Would catch a model whose sampled tensors happen to have the recorded lengths."""
    trained(tmp_path, steps=3, sample=9)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    loss = model(torch.ones(1, 2)).sum()
    loss.backward()
    with (
        GradientRecorder(tmp_path, **RUN, every=2, keep="avalanches", sample=9) as recorder,
        pytest.raises(ShapeError, match="not those recorded"),
    ):
        recorder.record(model, 4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("keep", {"keep": "everything"}),
        ("budget", {"budget": 1}),
        ("budget", {"budget": "much"}),
        ("sample", {"sample": 0}),
        ("cascade", {"cascade": {"quantile": 90}, "keep": "gradients"}),
        ("cascade", {"cascade": {"percentile": 90}}),
        ("quantile", {"cascade": {"quantile": 100}}),
        ("sink", {"sink": print, "keep": "gradients"}),
        ("sink", {"sink": "tensorboard"}),
        ("sink", {"sink": 3}),
        ("gather", {"gather": "yes"}),
        ("cascade", {"cascade": [1]}),
        ("option", {"percentile": 90}),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_the_training(tmp_path, name, options):
    with pytest.raises(OptionError) as caught:
        GradientRecorder(tmp_path / "new", **RUN, **{"keep": "avalanches", **options})
    assert caught.value.name == name
    assert not (tmp_path / "new").exists()


def test_a_budget_stretches_the_spacing_and_the_rows_say_so(tmp_path, monkeypatch):
    """Would catch a budget that nobody keeps, on a clock by which rows take longer than steps."""
    now = [0.0]

    def clock():
        now[0] += 0.005  # asked twice in a row
        return now[0]

    model = mlp()
    loss_of(model, 0).backward()
    with GradientRecorder(tmp_path, **RUN, keep="avalanches", budget=0.05) as recorder:
        monkeypatch.setattr("grokcrit.live.spacing.time.perf_counter", clock)
        for step in range(400):
            now[0] += 0.01
            recorder.record(model, step)
        monkeypatch.undo()
    rows = kept(tmp_path)
    spaced = rows["every"].unique().to_pylist()
    # A row of 10 to 15 ms is 5 % of 200 to 300 ms, 20 to 30 steps.
    assert 12 <= len(rows["epoch"].unique()) <= 23
    assert max(spaced) > 1
    assert all(each & (each - 1) == 0 for each in spaced)
    last = sorted(tmp_path.iterdir())[-1]
    told = json.loads(pq.read_metadata(last).metadata[b"grokcrit"])["recorder"]
    assert told["budget"] == 0.05
    assert 0.03 < told["overhead"] < 0.06
    assert told["seconds"] > told["setup_seconds"] > 0


def test_sinks_get_the_numbers_of_each_row(tmp_path):
    """Would catch numbers that are not those of the gradient, by numpy and by the rows."""
    told = []
    trained(tmp_path, keep="both", sink=[lambda *each: told.append(each)], width=40)
    vectors = Inputs(tmp_path / "gradients", TRAIN).read()["gradient"]
    rows = kept(tmp_path).to_pylist()
    assert [step for step, _ in told] == list(range(0, 21, 2))
    for (step, numbers), vector in zip(told, vectors.to_pylist(), strict=True):
        g = np.abs(np.array(vector))
        data, null = (
            next(r for r in rows if r["epoch"] == step and r["surrogate"] == name)
            for name in ("none", "gaussian")
        )
        gaps = np.abs(g[:, None] - g).sum() / (2 * g.size**2 * g.mean())
        wanted = {
            "gradient_norm": np.linalg.norm(g),
            "q99_over_q90": np.quantile(g, 0.99) / np.quantile(g, 0.9),
            "gini": gaps,
            "threshold": data["threshold"],
            "density": data["size"] / g.size,
            "density_over_null": data["size"] / null["size"],
            "excess": sum(data["activity"][1:]),
            "branching": data["activity"][1] / data["activity"][0],
            "duration": data["duration"],
            "loss": data["loss"],
            "test_accuracy": data["test_accuracy"],
        }
        assert {k: numbers[k] for k in wanted} == pytest.approx(wanted, rel=1e-5)
        assert numbers["seconds"] > 0


def test_a_sink_that_fails_is_told_once_and_ends_nothing(tmp_path):
    def broken(step, numbers):
        raise ConnectionError("no network")

    with pytest.warns(UserWarning, match="the sink broken failed at step 0") as caught:
        trained(tmp_path, sink=broken)
    assert len(caught) == 1
    assert kept(tmp_path)["epoch"].unique().to_pylist() == list(range(0, 21, 2))


def test_a_step_without_a_gradient_has_no_avalanche(tmp_path):
    model = mlp()
    with GradientRecorder(tmp_path, **RUN, keep="avalanches") as recorder:
        for step in range(3):
            model.zero_grad()
            loss_of(model, step).backward()
            if step == 1:
                model[0].bias.grad[0] = torch.nan
                with pytest.warns(UserWarning, match="not finite"):
                    assert not recorder.record(model, step)
            else:
                assert recorder.record(model, step)
    assert kept(tmp_path)["epoch"].unique().to_pylist() == [0, 2]


@pytest.mark.parametrize("topology", ["ring", "lattice", "affine"])
@pytest.mark.parametrize("rule", ["diffuse", "reset"])
def test_torch_operations_cascade_as_the_kernels_do(topology, rule):
    """Would catch a neighbour, a threshold or an order of deliveries that is another one."""
    rng = np.random.default_rng(0)
    for n, quantile, kind in ((50, 80, "f4"), (1000, 90, "f8"), (20_011, 99.5, "f4")):
        for of in ("all", "nonzero"):
            options = CascadeOptions(
                topology=topology, degree=4, quantile=quantile, rule=rule, threshold_of=of
            )
            gradient = rng.standard_t(3, n).astype(kind)
            gradient[rng.random(n) < (0.5 if of == "nonzero" else 0)] = 0
            graph = graph_of(options, n)
            names = {"quantile": quantile, "rule": rule, "threshold_of": of}
            wanted = grokcrit.cascade(gradient, graph, **names)
            moved = torch.from_numpy(gradient.copy())
            counts, activity = device.cascade(moved, graph.network, options)
            assert counts.threshold == wanted.threshold
            assert activity == wanted.activity.tolist()
            assert (counts.area, counts.truncated) == (wanted.area, wanted.truncated)
            assert np.array_equal(moved.numpy(), wanted.gradient)


def test_all_setups_run_on_the_device_as_in_main_memory(tmp_path):
    """Would catch a null model that is drawn from the data's memory after it was overwritten."""
    options = {"topology": ("ring", "affine"), "degree": 4, "replicates": 2}
    recorder = trained(tmp_path, cascade=options, width=30)
    cascades = recorder._rows.cascades
    model = mlp(30)
    loss_of(model, 0).backward()
    vector = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    row = row_of(
        {"task": "x", "case": "x", "field": "gradient", "width": 30, "n_params": len(vector)}
        | {"seed": 0, "epoch": 0}
    )
    assert device.can_run(cascades, len(vector))
    there = device.run(cascades, vector.clone(), row)
    here = cascades.run(vector.clone().numpy(), row, [0])
    assert [each.setup for each in there] == [each.setup for each in here]
    for a, b in zip(there, here, strict=True):
        assert (a.counts == b.counts).all()
        assert (a.theta, a.activity.tolist()) == (b.theta, b.activity.tolist())
    stored = Cascades(AvalancheOptions(topology="ba"))
    assert not device.can_run(stored, len(vector))


def test_a_row_takes_the_memory_of_the_sample_and_of_the_cascade(tmp_path):
    """Would catch a copy of the vector, of its places, or of a null model: 12 bytes each."""
    entries, sample = 4_000_000, 1_000_000
    model = nn.Linear(1, entries, bias=False)
    model.weight.grad = torch.randn(entries, 1)
    options = {"cascade": {"topology": "affine"}, "sample": sample, "keep": "avalanches"}
    with GradientRecorder(tmp_path, **RUN, **options) as recorder:
        recorder.record(model, 0)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        recorder.record(model, 1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # The vector is allocated by torch, which tracemalloc does not see.
    assert peak - before + 4 * sample < 1.2 * 12 * sample


def test_a_recorder_in_the_loop_changes_no_weight(tmp_path):
    """Would catch a gradient, a parameter or a random state that is not left as it was."""
    ends = []
    for recorded in (False, True):
        model = mlp()
        model.insert(1, nn.Dropout(0.5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        torch.manual_seed(7)
        folder = tmp_path / str(recorded)
        with GradientRecorder(folder, **RUN, keep="both", sample=20) as recorder:
            for step in range(10):
                optimizer.zero_grad()
                loss_of(model, step).backward()
                if recorded:
                    recorder.record(model, step)
                optimizer.step()
        ends.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]))
    assert torch.equal(*ends)
    assert kept(tmp_path / "True").num_rows == 20
