"""The XOR network: gradient, loss, Gini, and training with the cascade in line or in the shadow."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokcrit.base.options import CascadeOptions
from grokcrit.cascades.graphs import graph
from grokcrit.kernels import mlp
from grokcrit.kernels import types as kt
from tests.kernels import from_python

mlp = from_python(mlp)

INPUTS = np.array([x for x, _ in naive.XOR])
TARGETS = np.array([y for _, y in naive.XOR])
ACTIVATIONS = ("tanh", "relu", "sigmoid")
WIDTHS = (1, 2, 7)


def training(activation, lr=0.5, inline=True, gini_of="output", every=1, targets=TARGETS):
    which = ("output", "first", "all", "gradient").index(gini_of)
    return kt.Training(INPUTS, targets, ACTIVATIONS.index(activation), lr, inline, which, every)


def evaluate(weights, activation, targets=TARGETS):
    """Loss, accuracy and gradient, as the kernel has them."""
    out = np.full(len(weights), 7.0)
    hidden, delta = np.empty((len(targets), len(weights) // 4)), np.empty(len(targets))
    setting = training(activation, targets=targets)
    return (*mlp.forward_backward(weights, setting, hidden, delta, out), out)


def some_weights(width, seed=0, sigma=1.0):
    return sigma * np.random.default_rng([width, seed]).standard_normal(4 * width + 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_gradient_is_that_of_central_differences(activation, width):
    weights, step = some_weights(width, 3), 1e-6
    found = evaluate(weights, activation)[2]
    for i in range(len(weights)):
        up, down = weights.copy(), weights.copy()
        up[i] += step
        down[i] -= step
        slope = (evaluate(up, activation)[0] - evaluate(down, activation)[0]) / (2 * step)
        assert found[i] == pytest.approx(slope, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@given(st.integers(1, 9), st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 4.0]))
def test_loss_accuracy_and_gradient_are_those_of_plain_loops(activation, width, seed, sigma):
    weights = some_weights(width, seed, sigma)
    loss, accuracy, gradient = evaluate(weights, activation)
    assert loss == pytest.approx(naive.loss(weights, activation), rel=1e-12, abs=1e-14)
    assert accuracy == naive.accuracy(weights, activation)
    # An absolute part: 1 - a^2 of a saturated unit has the rounding of a.
    wanted = naive.gradient(weights, activation)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.extra("torch")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradient_is_that_of_torch_autograd(activation):
    import torch

    act = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}[activation]
    for width in (1, 5, 40):
        weights = some_weights(width, 9)
        first, last = torch.nn.Linear(2, width).double(), torch.nn.Linear(width, 1).double()
        tensors = [first.weight, first.bias, last.weight, last.bias]
        flat = torch.from_numpy(weights.copy())
        with torch.no_grad():
            for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.reshape(tensor.shape))
        logits = last(act(first(torch.from_numpy(INPUTS)))).squeeze(1)
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(TARGETS)
        )
        wanted.backward()
        loss, _, gradient = evaluate(weights, activation)
        flattened = torch.cat([t.grad.reshape(-1) for t in tensors]).numpy()
        assert loss == pytest.approx(wanted.item(), rel=1e-13)
        np.testing.assert_allclose(gradient, flattened, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("size", [1e2, 1e3, 1e6, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_logits_give_a_finite_loss_equal_to_the_margin(size, sign):
    # The hidden unit is 0, z is the output bias: two of four patterns are wrong by |z|.
    weights = np.zeros(5)
    weights[4] = sign * size
    loss, accuracy, gradient = evaluate(weights, "tanh")
    assert loss == pytest.approx(size / 2, rel=1e-12)
    assert accuracy == 0.5
    assert gradient.tolist() == pytest.approx([0, 0, 0, 0, sign / 2])


def test_a_logit_of_zero_is_the_answer_no():
    _, accuracy, gradient = evaluate(np.zeros(9), "tanh")
    assert accuracy == 0.5
    only_no = evaluate(np.zeros(9), "tanh", np.zeros(4))
    assert only_no[0] == pytest.approx(math.log(2), rel=1e-15)
    assert only_no[1] == 1.0
    assert gradient[8] == 0.0
    assert only_no[2][8] == 0.5


def test_parameters_lie_in_the_order_w1_row_major_b1_w2_b2():
    # relu(x0 + x1) - 2 relu(x0 + x1 - 1) is XOR itself; logits -1 and +1 after scaling.
    weights = np.array([1, 1, 1, 1, 0, -1, 2, -4, -1], float)
    loss, accuracy, gradient = evaluate(weights, "relu")
    assert accuracy == 1.0
    assert loss == pytest.approx(math.log1p(math.exp(-1)), rel=1e-15)
    # delta = +-p / 4, p = 1 / (1 + e); pattern (1, 1) is a 0 whose unit 0 is 2 and unit 1 is 1.
    p = 1 / (1 + math.e)
    expected_w2 = [(p * 2 - p - p) / 4, p / 4]
    np.testing.assert_allclose(gradient[6:8], expected_w2, atol=1e-16)
    asymmetric = evaluate(np.array([3, 0, 0, 0, 0, 0, 1, 0, 0], float), "relu")[2]
    assert asymmetric[0] != 0  # W1[0, 0] feels x0 through unit 0 ...
    assert asymmetric[2] == asymmetric[3] == 0  # ... and W1[1, :] feels nothing: W2[0, 1] is 0


@given(
    st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(0.0)), min_size=1, max_size=30).filter(
        lambda v: sum(abs(x) for x in v) > 1e-3
    )
)
def test_the_gini_coefficient_is_the_mean_absolute_difference(values):
    assert gini(values) == pytest.approx(naive.gini(values), rel=1e-12, abs=1e-13)


def test_the_gini_coefficient_of_known_vectors():
    assert gini(np.full(8, -3.0)) == pytest.approx(0, abs=1e-16)
    assert gini([0, 0, 0, 0, -5.0]) == pytest.approx(4 / 5)
    assert gini([1.0, 2, 3, 4]) == pytest.approx(0.25)
    assert math.isnan(gini(np.zeros(4)))


@pytest.mark.parametrize("size", [1, 2, 7, 400])
def test_the_gini_coefficient_does_not_depend_on_the_order_it_starts_from(size):
    rng = np.random.default_rng(size)
    values = rng.standard_normal(size)
    sorting = np.argsort(np.abs(values))
    for order in (sorting, sorting[::-1], rng.permutation(size), np.arange(size)):
        kept = order.copy()
        for _ in range(size // 10 + 1):  # it gives up for the epoch where too much has changed
            assert mlp.gini(values, kept) == gini(values)
            assert sorted(kept) == list(range(size))
        assert (kept == sorting).all()


def gini(values):
    values = np.array(values, float)
    return mlp.gini(values, np.arange(len(values)))


def test_the_hyperbolic_tangent_is_right_to_four_units_in_the_last_place():
    x = np.concatenate(
        [np.linspace(-25, 25, 100_001), np.geomspace(1e-300, 1e300, 10_001), [0.0, -0.0, np.inf]]
    )
    found = x.copy()
    mlp.tanh(found)
    exact = np.array([math.tanh(v) for v in x])
    assert (np.abs(found - exact) <= 4 * np.spacing(np.abs(exact))).all()
    assert (np.signbit(found) == np.signbit(x)).all()
    assert found[-1] == 1


@pytest.mark.filterwarnings("ignore:invalid value")  # said by numpy where nothing is compiled
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_never_trained_on(bad):
    assert mlp.finite(np.array([1.0, -2.0, 1e308]))
    for place in range(3):
        values = np.zeros(3)
        values[place] = bad
        assert not mlp.finite(values)


# --- training ---------------------------------------------------------------------------------


def options(**given_options):
    return CascadeOptions(**{"topology": "ring", "degree": 2, **given_options})


def empty_record(epochs, snapshots, n):
    counts = [np.full(epochs, -7, t) for t in (np.int64, np.int64, np.int32, np.int64, np.bool_)]
    reals = [np.full(epochs, np.nan) for _ in range(5)]
    return kt.Record(*reals, *counts, np.full((snapshots, n), np.nan))


def train(weights, epochs, setting, chosen, cuts=()):
    """Train in one block, or in several cut at ``cuts``; return the record and the weights."""
    n = len(weights)
    weights = weights.copy()
    record = empty_record(epochs, -(-epochs // setting.snapshot_every), n)
    network = graph(chosen.topology, n, chosen.degree, chosen.graph_seed).network
    rule, work = kt.rule(n, np.float64, chosen), kt.work(n, np.float64, chosen.max_steps)
    edges = [0, *cuts, epochs]
    for first, last in zip(edges, edges[1:], strict=False):
        assert mlp.train_block(weights, network, rule, setting, record, work, first, last) == -1
    return record, weights


def ring_neighbours(n):
    return naive.neighbours_of([(i, (i + 1) % n) for i in range(n)], n)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_blocks_change_no_bit_of_a_run(inline, activation):
    weights = some_weights(6, 1)
    setting = training(activation, inline=inline, every=10)
    whole, end = train(weights, 501, setting, options())
    for cuts in ([1, 2, 9, 10, 11, 250, 500], range(1, 501)):
        pieces, piece_end = train(weights, 501, setting, options(), cuts)
        assert piece_end.tobytes() == end.tobytes()
        for name in kt.Record._fields:
            assert getattr(pieces, name).tobytes() == getattr(whole, name).tobytes(), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_shadowed_run_is_plain_gradient_descent(activation):
    weights = some_weights(5, 2)
    record, end = train(weights, 40, training(activation, 0.7, inline=False), options())
    plain = weights.copy()
    for t in range(40):
        g = naive.gradient(plain, activation)
        np.testing.assert_allclose(record.gradients[t], g, rtol=1e-9, atol=1e-12)
        assert record.loss[t] == pytest.approx(naive.loss(plain, activation), rel=1e-9)
        plain -= 0.7 * g
    np.testing.assert_allclose(end, plain, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rule", ["diffuse", "reset"])
@pytest.mark.parametrize("inline", [True, False])
def test_every_epoch_of_a_run_is_the_oracles(inline, rule):
    """Each update from the weights the oracle has itself reached, and its own cascade."""
    chosen = options(rule=rule, quantile=80.0, alpha=0.4, max_steps=5)
    weights = some_weights(4, 4)
    record, end = train(weights, 25, training("tanh", 0.5, inline), chosen)
    plain, ring = weights.copy(), ring_neighbours(17)
    for t in range(25):
        g = naive.gradient(plain, "tanh")
        result = naive.cascade(g, ring, 0.4, 80.0, rule, 5)
        assert record.threshold[t] == pytest.approx(result["threshold"], rel=1e-9)
        for name in ("size", "area", "duration", "peak", "truncated"):
            assert getattr(record, name)[t] == result[name], (t, name)
        assert record.deviation[t] == pytest.approx(
            naive.deviation(result["gradient"], g), rel=1e-8
        )
        assert record.accuracy[t] == naive.accuracy(plain, "tanh")
        assert record.gini[t] == pytest.approx(naive.gini(plain[12:16]), rel=1e-9)
        plain -= 0.5 * (result["gradient"] if inline else g)
    np.testing.assert_allclose(end, plain, rtol=1e-8, atol=1e-11)
    assert (record.size > 0).all()


@pytest.mark.parametrize(
    ("gini_of", "part"),
    [("output", slice(15, 20)), ("first", slice(0, 10)), ("all", slice(None)), ("gradient", None)],
)
def test_the_gini_is_of_the_part_asked_for(gini_of, part):
    weights = some_weights(5, 8)
    record, _ = train(weights, 1, training("tanh", gini_of=gini_of), options())
    wanted = naive.gradient(weights, "tanh") if part is None else weights[part]
    assert record.gini[0] == pytest.approx(naive.gini(wanted), rel=1e-10)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_run_that_breaks_stops_at_its_epoch_and_records_nothing_of_it():
    weights = some_weights(3, 1)
    weights[12] = np.inf
    record = empty_record(4, 4, 13)
    network = graph("ring", 13, 2).network
    rule, work = kt.rule(13, np.float64, options()), kt.work(13, np.float64, 20)
    assert mlp.train_block(weights, network, rule, training("tanh"), record, work, 0, 4) == 0
    assert np.isnan(record.loss).all()
    assert np.isnan(record.gradients).all()


@pytest.mark.parametrize("power", [-500, -560, 300])
def test_the_deviation_does_not_depend_on_the_unit_of_the_gradient(power):
    # Gradients of a saturated network are this small: 1 - p = exp(-z).
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(20), rng.standard_normal(20)
    assert mlp.distance(a, b) == pytest.approx(naive.deviation(a, b), rel=1e-13)
    scale = 2.0**power
    assert mlp.distance(a * scale, b * scale) == pytest.approx(naive.deviation(a, b), rel=1e-12)


def test_the_deviation_of_equal_vectors_is_zero_even_of_zeros():
    assert mlp.distance(np.zeros(3), np.zeros(3)) == 0.0
    assert mlp.distance(np.ones(3), np.ones(3)) == 0.0
