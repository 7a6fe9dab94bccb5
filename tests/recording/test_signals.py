"""Signals of a training that is recorded, against numpy, explicit Hessians and explicit steps."""

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from grokcrit.base.options import CascadeOptions  # noqa: E402
from grokcrit.base.rng import stream  # noqa: E402
from grokcrit.base.sample import Sample  # noqa: E402
from grokcrit.cascades.graphs import graph_of  # noqa: E402
from grokcrit.signals.collector import Meter  # noqa: E402
from grokcrit.signals.registry import chosen, every  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import TRAIN  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import RUN, loss_of, mlp  # noqa: E402
from tests.recording.signalled import (  # noqa: E402
    ALL,
    OF_HALVES,
    A,
    B,
    close,
    cosine,
    gradient_at,
    gradients,
    of_vector,
    table,
    trained,
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
