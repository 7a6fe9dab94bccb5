"""Signals of a training that is recorded, against numpy, explicit Hessians and explicit steps."""

import copy
import importlib.metadata
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from grokcrit.base.errors import OptionError, TableError  # noqa: E402
from grokcrit.base.options import CascadeOptions  # noqa: E402
from grokcrit.base.rng import stream  # noqa: E402
from grokcrit.base.sample import Sample  # noqa: E402
from grokcrit.cascades.graphs import graph_of  # noqa: E402
from grokcrit.live.spacing import Spacing  # noqa: E402
from grokcrit.signals import State, signal  # noqa: E402
from grokcrit.signals.collector import Meter  # noqa: E402
from grokcrit.signals.registry import chosen, every  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import SIGNALS, TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import ROOT, RUN, loss_of, mlp  # noqa: E402
from tests.recording.models import train as train_and_die  # noqa: E402
from tests.unit.test_spacing import Clock  # noqa: E402

ALL = ("all", "size")
OF_HALVES = ("half-cosine", "commutator", "hessian-top", "hessian-trace")
# Batches that no step of the training has.
A, B = 900, 901
# Of these a resumed run has forgotten earlier steps.
REMEMBERING = ("step-cosine", "loss-variance", "loss-autocorrelation", "hessian-top")


# Of this kind it is no part of what other tests call `all`.
@signal("test-largest", about="largest absolute weight", kind="ingredient")
def largest(state: State) -> float:
    """Return the largest weight."""
    return float(abs(state.weights).max())


def mean_weight(state):
    """Return the mean of the weights."""
    return state.weights.mean()


def failing(state):
    """Fail."""
    raise ZeroDivisionError("no such luck")


def trained(folder, steps=24, *, dtype=torch.float32, lr=0.1, every=1, halved=True, **options):
    """Train an MLP, recorded; return the weights at each recorded step."""
    model = mlp(dtype=dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    halves = [lambda k=k: loss_of(model, k, dtype) for k in (A, B)] if halved else None
    weights = []
    options = {"signals": ALL, "keep": "both", "cascade": {"degree": 4}, **options}
    with GradientRecorder(folder, **RUN, every=every, part_snapshots=10, **options) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            loss = loss_of(model, step, dtype)
            loss.backward()
            if recorder.due(step):
                weights.append(vector_of(model))
            accuracies = {"train_accuracy": 0.5, "test_accuracy": step / 1000}
            recorder.record(model, step, loss=loss, halves=halves, **accuracies)
            optimizer.step()
    return weights


def vector_of(model):
    return np.concatenate([p.detach().numpy().reshape(-1) for p in model.parameters()])


def of_vector(weights, dtype):
    """An MLP of these weights."""
    model = mlp(dtype=dtype)
    nn.utils.vector_to_parameters(torch.from_numpy(weights).to(dtype), model.parameters())
    return model


def gradient_at(weights, k, dtype):
    """Loss and gradient of batch k at some weights, in a model of their own."""
    model = of_vector(weights, dtype)
    loss = loss_of(model, k, dtype)
    loss.backward()
    return float(loss.detach()), np.concatenate(
        [p.grad.numpy().ravel() for p in model.parameters()]
    )


def hessian_at(weights, k, dtype):
    """The whole Hessian of batch k, row by row."""
    model = of_vector(weights, dtype)
    parameters = list(model.parameters())
    first = torch.autograd.grad(loss_of(model, k, dtype), parameters, create_graph=True)
    rows = []
    for entry in torch.cat([each.reshape(-1) for each in first]):
        row = torch.autograd.grad(entry, parameters, retain_graph=True)
        rows.append(np.concatenate([each.numpy().ravel() for each in row]))
    return np.stack(rows)


def table(folder):
    """The signals of a folder: {name: {step: value}}."""
    found = {}
    for row in Inputs(folder / "signals", SIGNALS).read().to_pylist():
        assert row["epoch"] not in found.setdefault(row["signal"], {})
        found[row["signal"]][row["epoch"]] = row["value"]
    return found


def gradients(folder):
    return [np.array(v) for v in Inputs(folder / "gradients", TRAIN).read()["gradient"].to_pylist()]


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


def close(found, wanted, rtol):
    assert found == pytest.approx(wanted, rel=rtol, abs=rtol * 1e-3)


@pytest.mark.parametrize("sample", [None, 20])
def test_the_numbers_are_those_of_plain_numpy(tmp_path, sample):
    """Would catch other entries, other weights, or another batch than those of the step."""
    double = torch.float64
    weights = trained(tmp_path, dtype=double, sample=sample)
    found, g = table(tmp_path), gradients(tmp_path)
    n = len(weights[0])
    taken = np.arange(n) if sample is None else Sample(0, 5, n, sample).places(0, sample)
    for t, w in enumerate(weights):
        a, b = (gradient_at(w, k, double)[1] for k in (A, B))
        size = np.abs(g[t])
        differences = np.abs(size[:, None] - size[None, :])
        close(found["gradient-norm"][t], np.sqrt((g[t] ** 2).sum()), 1e-12)
        close(found["gradient-gini"][t], differences.mean() / (2 * size.mean()), 1e-9)
        close(found["participation-ratio"][t], size.mean() ** 2 / (size**2).mean(), 1e-12)
        close(found["weight-norm"][t], np.sqrt((w[taken] ** 2).sum()), 1e-12)
        close(found["half-cosine"][t], cosine(a[taken], b[taken]), 1e-9)
        if t:
            close(found["step-cosine"][t], cosine(g[t], g[t - 1]), 1e-9)
        # One step on a, then b's gradient; and the other way round.
        lengths = [np.linalg.norm(each[taken]) for each in (a, b)]
        h = 1e-3 * np.linalg.norm(w[taken]) / max(lengths)
        after = []
        for mine, other in ((a, B), (b, A)):
            moved = w.copy()
            moved[taken] -= h * mine[taken]
            after.append(gradient_at(moved, other, double)[1])
        apart = ((after[0] - b) - (after[1] - a))[taken]
        close(found["commutator"][t], np.linalg.norm(apart) / sum(lengths), 1e-9)
        hessian = hessian_at(w, A, double)[np.ix_(taken, taken)]
        signs = stream("signals-trace", 0, 5, 0, t).integers(0, 2, len(taken)) * 2.0 - 1
        close(found["hessian-trace"][t], signs @ hessian @ signs, 1e-9)
    assert (found["effective-rank"][0] is None) == (sample is not None)
    assert found["step-cosine"][0] is None
    assert set(found["train_accuracy"].values()) == {0.5}
    assert found["test_accuracy"] == {t: t / 1000 for t in range(24)}


def test_the_hessian_signals_converge_to_the_explicit_hessian(tmp_path):
    """Would catch a product of another matrix: no random number is shared."""
    steps, double = 400, torch.float64
    weights = trained(tmp_path, steps, dtype=double, lr=0.0, signals=OF_HALVES, keep="avalanches")
    assert np.array_equal(weights[0], weights[-1])
    found, hessian = table(tmp_path), hessian_at(weights[0], A, double)
    largest = np.linalg.eigvalsh(hessian)
    close(found["hessian-top"][steps - 1], largest[np.abs(largest).argmax()], 1e-6)
    traces = np.array(list(found["hessian-trace"].values()))
    error = traces.std() / np.sqrt(steps)
    assert 0 < error < 0.2 * np.trace(hessian)
    assert abs(traces.mean() - np.trace(hessian)) < 4 * error


class Plain:
    """The same steps as a source of signals, each from a model of its own."""

    name = (0, 5, 0)
    half_size = 8
    options = CascadeOptions(degree=4)
    tensors = [(name, tuple(p.shape)) for name, p in mlp().named_parameters()]
    kind = torch.float32

    def __init__(self, weights, gradient):
        self.w, self.g = weights, gradient
        self.graph = graph_of(self.options, len(weights))

    def weights(self):
        return self.w

    def gradient(self):
        return self.g

    def on_half(self, half, weights=None):
        return gradient_at(self.w if weights is None else weights, (A, B)[half], self.kind)

    def hessian_product(self, vector):
        return hessian_at(self.w, A, self.kind) @ vector.astype(np.float32)

    def structure(self):
        return np.nan


def test_the_numbers_are_those_of_a_state_of_the_same_vectors(tmp_path):
    """Would catch a recorder that measures after a cascade, or forgets what signals remember."""
    weights = trained(tmp_path)
    found, meter = table(tmp_path), Meter(chosen(ALL))
    losses = Inputs(tmp_path / "gradients", TRAIN).read()["loss"].to_pylist()
    compared = set()
    for t, (w, g) in enumerate(zip(weights, gradients(tmp_path), strict=True)):
        for _, name, value, _ in meter.rows(Plain(w, g.astype(np.float32)), t, {"loss": losses[t]}):
            ours = found[name][t]
            assert (ours is None) == np.isnan(value), name
            if ours is None:
                continue
            compared.add(name)
            # Sums of products of single precision in another order; all others to the bit.
            if name in ("hessian-top", "hessian-trace"):
                assert ours == pytest.approx(value, rel=1e-5, abs=1e-5)
            else:
                assert ours == value, name
    assert compared == {each.name for each in chosen(ALL)} - {"task-structure"}


class Noisy(nn.Module):
    """Layers that draw random numbers and keep buffers, one of which is another at each pass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(3, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Tanh(), nn.Linear(9, 2)
        )
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        self.passes = self.passes + 1
        return self.layers(x)


def noisy(folder, signals, evaluates=False, halved=True):
    """Train it; return the bits of the model, of torch's generator, and of the gradients."""
    model = Noisy()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

    def loss_on(k):
        if evaluates:
            model.eval()
        return loss_of(model, k)

    options = {} if signals is None else {"signals": signals}
    halves = ((lambda: loss_on(A)), (lambda: loss_on(B)), 8) if halved else None
    with GradientRecorder(folder, **RUN, every=2, **options) as recorder:
        for step in range(11):
            optimizer.zero_grad()
            loss = loss_of(model, step)
            loss.backward()
            before = [p.grad.clone() for p in model.parameters()]
            recorder.record(model, step, loss=loss, halves=halves)
            grads = [p.grad for p in model.parameters()]
            assert all(map(torch.equal, before, grads))
            optimizer.step()
    assert model.training
    return [*model.state_dict().values(), torch.get_rng_state()]


@pytest.mark.parametrize("evaluates", [False, True])
def test_a_training_is_the_same_to_the_bit_with_signals(tmp_path, evaluates):
    """Would catch a weight, a buffer, a flag or a random number that measuring leaves changed."""
    asked = ["all", "llc"] if every()["llc"].installed else ["all"]
    without = noisy(tmp_path / "without", None)
    measured = noisy(tmp_path / "with", asked, evaluates)
    assert all(map(torch.equal, without, measured))
    found = table(tmp_path / "with")
    assert all(None not in found[name].values() for name in OF_HALVES)
    # The gradients are those without signals, and without signals there is no folder of them.
    assert not (tmp_path / "without/signals").exists()
    mine, theirs = (Inputs(tmp_path / name, TRAIN).read() for name in ("with", "without"))
    assert mine.equals(theirs)


def test_evaluations_of_a_step_draw_the_same_dropout(tmp_path):
    """Would catch a commutator of different masks, which does not vanish with the steps."""
    noisy(tmp_path, ["commutator"])
    assert max(table(tmp_path)["commutator"].values()) < 0.2


def test_without_halves_their_signals_are_null(tmp_path):
    trained(tmp_path, 3, halved=False, keep="avalanches")
    found = table(tmp_path)
    for name in OF_HALVES:
        assert set(found[name].values()) == {None}
    assert None not in found["gradient-norm"].values()


def test_a_killed_run_goes_on_without_doubles(tmp_path):
    """Would catch a part that loses or repeats a step; what signals remember begins again."""
    script = (
        "import torch; torch.set_num_threads(1);"
        "from tests.recording.models import train;"
        f"train({str(tmp_path / 'parts')!r}, 40, checkpoint={str(tmp_path / 'saved')!r},"
        " killed_at=27, keep='both', signals='all')"
    )
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert died.returncode == -9
    held = table(tmp_path / "parts")  # raises where a step is there twice
    assert max(held["gradient-norm"]) == 22  # three parts of four rows; the rest waited
    options = {"keep": "both", "signals": "all"}
    train_and_die(tmp_path / "parts", 40, checkpoint=tmp_path / "saved", **options)
    train_and_die(tmp_path / "whole", 40, **options)
    found, wanted = table(tmp_path / "parts"), table(tmp_path / "whole")
    for name in {*wanted} - {*REMEMBERING}:
        assert found[name] == wanted[name], name
    for name in REMEMBERING:
        assert found[name].keys() == wanted[name].keys()


def test_a_folder_of_other_signals_is_refused(tmp_path):
    trained(tmp_path, 2)
    with pytest.raises(TableError, match=r"signals \['all', 'size'\], not \['kurtosis'\]; choose"):
        trained(tmp_path, 4, signals=["kurtosis"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gradient-nrom", "did you mean 'gradient-norm'"),
        (["all", "kurtosys"], "did you mean 'kurtosis'"),
        ("nowhere:nothing", "cannot load nowhere:nothing"),
        (5, "must be 'all' or names"),
        ([5], "must be 'all' or names"),
    ],
)
def test_unknown_signals_are_refused(tmp_path, given, said):
    with pytest.raises(OptionError, match=said):
        GradientRecorder(tmp_path / "parts", **RUN, signals=given)
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("given", [5, (len,), (len, 5), (len, len, 1), (len, len, 2, 3)])
def test_halves_that_are_none_are_refused(tmp_path, given):
    model = mlp()
    loss_of(model, 0).backward()
    with (
        GradientRecorder(tmp_path, **RUN, signals="all") as recorder,
        pytest.raises(OptionError, match="halves"),
    ):
        recorder.record(model, 0, halves=given)


def test_a_loss_without_a_graph_is_refused(tmp_path):
    model = mlp()
    loss_of(model, 0).backward()
    with (
        GradientRecorder(tmp_path, **RUN, signals="half-cosine") as recorder,
        pytest.raises(OptionError, match="with its graph"),
    ):
        recorder.record(model, 0, halves=[lambda: loss_of(model, A).item()] * 2)


def test_signals_of_ones_own_are_measured(tmp_path, monkeypatch):
    """By a name that was registered, by module and function, and by an entry point."""

    class Point:
        def load(self):
            signal("test-point", about="", kind="ingredient")(lambda state: state.gradient[0])

    def entry_points(group):
        return [Point()] if group == "grokcrit.signals" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    names = ["test-largest", f"{__name__}:mean_weight", "test-point"]
    weights = trained(tmp_path, 3, signals=names)
    found = table(tmp_path)
    for t, (w, g) in enumerate(zip(weights, gradients(tmp_path), strict=True)):
        assert found["test-largest"][t] == np.abs(w).max()
        close(found["mean-weight"][t], w.astype(np.float64).mean(), 1e-9)
        assert found["test-point"][t] == g[0]


def test_a_signal_that_fails_is_null_and_warned_of_once(tmp_path):
    """Would catch somebody's mistake that ends a training of days."""
    with pytest.warns(UserWarning, match="signal failing failed at step 0") as said:
        trained(tmp_path, 3, signals=["kurtosis", f"{__name__}:failing"])
    assert len(said) == 1
    assert list(table(tmp_path)["failing"].values()) == [None] * 3


def test_a_step_without_a_gradient_has_its_accuracies(tmp_path):
    model = mlp()
    with GradientRecorder(tmp_path, **RUN, signals="kurtosis") as recorder:
        for step in range(3):
            model.zero_grad()
            loss_of(model, step).backward()
            if step == 1:
                model[0].weight.grad[0, 0] = np.nan
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                recorder.record(model, step, test_accuracy=0.5)
    found = table(tmp_path)
    assert list(found["kurtosis"]) == [0, 2]
    assert found["test_accuracy"] == {0: 0.5, 1: 0.5, 2: 0.5}


def test_the_time_of_a_step_is_without_the_recorders(monkeypatch):
    clock, spacing = Clock(monkeypatch), Spacing(5, None)
    paces = []
    for step in range(0, 20, 5):
        clock.now += 5 * 0.25
        spacing.begin()
        paces.append(spacing.pace(step))
        clock.now += 7
        spacing.end(step)
    assert paces == [None, 0.25, 0.25, 0.25]


def test_times_are_in_the_table(tmp_path):
    trained(tmp_path, 5)
    for row in Inputs(tmp_path / "signals", SIGNALS).read().to_pylist():
        assert row["training_seconds"] > 0
        assert (row["seconds"] is None) == row["signal"].endswith("_accuracy")


def test_measures_of_a_hook_may_hold_halves(tmp_path):
    """As those of a callback's ``measure=`` do."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    halves = (lambda: loss_of(model, A), lambda: loss_of(model, B))
    with GradientRecorder(tmp_path, **RUN, signals="all") as recorder:
        recorder.attach(optimizer, model, measure=lambda: {"loss": 0.5, "halves": halves})
        for step in range(2):
            optimizer.zero_grad()
            loss_of(model, step).backward()
            before = copy.deepcopy(model)
            optimizer.step()
    found = table(tmp_path)
    a, b = (gradient_at(vector_of(before), k, torch.float32)[1] for k in (A, B))
    close(found["half-cosine"][1], cosine(a.astype(np.float64), b.astype(np.float64)), 1e-6)
    assert found["train-loss"] == {0: 0.5, 1: 0.5}


@pytest.mark.extra("huggingface")
def test_the_callback_of_the_trainer_measures_signals(tmp_path):
    from tests.recording.gpt import DATA, trainer

    def measure(model):
        def loss_of_rows(rows):
            batch = {k: torch.stack([each[k] for each in rows]) for k in DATA[0]}
            return model(**batch).loss

        return {"halves": (lambda: loss_of_rows(DATA[:8]), lambda: loss_of_rows(DATA[8:16]), 8)}

    made, _ = trainer(tmp_path / "with", own={"signals": "all", "measure": measure})
    made.train()
    plain, _ = trainer(tmp_path / "without")
    plain.train()
    found = table(tmp_path / "with/parts")
    assert list(found["hessian-trace"]) == [0, 2, 4]
    for name in (*OF_HALVES, "gradient-norm", "density"):
        assert None not in found[name].values(), name
    mine, theirs = (list(each.model.parameters()) for each in (made, plain))
    assert all(map(torch.equal, mine, theirs))
