"""Signals: their values against plain arithmetic, cost, registry, and train --signals."""

import importlib.metadata
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import grokcrit
from grokcrit.base.errors import OptionError, RunError, TableError
from grokcrit.base.options import CascadeOptions
from grokcrit.cascades.graphs import graph
from grokcrit.signals import State, UndefinedError, registry, signal, state
from grokcrit.signals.collector import COSTLY, Collector
from grokcrit.stages.train import measured, watched_as
from grokcrit.tables.reading import Inputs
from grokcrit.tables.schemas import SIGNALS
from grokcrit.tasks import run_options
from grokcrit.tasks.draws import drawn
from grokcrit.tasks.options import every_run
from tests import naive

N = 60
PARITY = {"task": "parity", "bits": 12, "relevant": 1, "samples": 200, "hidden": (8,)}
PARITY |= {"seeds": 2, "epochs": 12, "lr": 0.1, "snapshot_every": 4}
XOR = {"hidden": (20,), "seeds": 2, "epochs": 12, "snapshot_every": 4}
MODADD = {"task": "modadd", "prime": 7, "hidden": (8,), "seeds": 2, "epochs": 12}
MODADD |= {"snapshot_every": 4, "split": "sym"}


class Quadratic:
    """Two halves with losses w A w / 2 and w B w / 2, the training loss being their mean."""

    def __init__(self, a, b, weights):
        self.a, self.b, self.flat = a, b, weights
        self.options, self.graph = CascadeOptions(), graph("ba", len(weights), 6)
        self.name = (0, len(weights), 0)
        self.tensors = [("w", (6, len(weights) // 6))]
        self.half_size = 100
        self.calls = 0

    def weights(self):
        return self.flat

    def gradient(self):
        self.calls += 1
        return (self.a + self.b) @ self.flat / 2

    def on_half(self, half, weights=None):
        flat = self.flat if weights is None else weights
        product = (self.a, self.b)[half] @ flat
        return float(flat @ product / 2), product

    def hessian_product(self, vector):
        return self.a @ vector

    def structure(self):
        raise UndefinedError


def quadratic(seed=0, n=N):
    rng = np.random.default_rng(seed)
    a, b = (m @ m.T / n for m in rng.standard_normal((2, n, n)))
    return Quadratic(a, b, rng.standard_normal(n))


def value(name, source, epoch=0, memory=None):
    memory = memory or state.Memory(losses=[1.0])
    return State(source, epoch, memory).measure(name, registry.own()[name].of)[0]


# --- values ---------------------------------------------------------------------------------------


def test_gradient_signals_are_those_of_plain_arithmetic():
    """Fault: a quantile, a moment or a norm of something else than the gradient's entries."""
    source = quadratic()
    g = [float(x) for x in source.gradient()]
    size = sorted(abs(x) for x in g)
    square, fourth = math.fsum(x**2 for x in g), math.fsum(x**4 for x in g)
    expected = {
        "gradient-norm": math.sqrt(square),
        "gradient-gini": naive.gini(g),
        "quantile-ratio": size[int(0.99 * (N - 1))] / size[int(0.90 * (N - 1))],
        "kurtosis": N * fourth / square**2,
        "participation-ratio": math.fsum(size) ** 2 / (N * square),
        "max-over-threshold": size[-1] / naive.threshold(g, 90),
    }
    for name, wanted in expected.items():
        assert value(name, source) == pytest.approx(wanted, rel=1e-12), name


def test_cascade_signals_are_those_of_a_cascade_in_plain_loops():
    source = quadratic()
    found = naive.cascade(source.gradient(), naive.adjacency(source.graph))
    null = np.array([value("size", Constant(source, k)) for k in range(3)])
    assert value("size", source) == found["size"]
    assert value("branching", source) == found["activity"][1] / found["activity"][0]
    # One draw of the null a run: another epoch has the same, and the ratio is that of sizes.
    one, other = (value("density", source, t) for t in (0, 7))
    assert one == other
    assert found["size"] / one == round(found["size"] / one)
    assert (null > 0).all()


class Constant(Quadratic):
    """A gradient that does not depend on weights: a Gaussian vector."""

    def __init__(self, source, seed):
        super().__init__(source.a, source.b, source.flat)
        self.fixed = np.random.default_rng(seed).standard_normal(N)

    def gradient(self):
        return self.fixed


def test_density_of_gaussian_gradients_is_one_on_average():
    """Fault: a density that is not relative to the null model."""
    source = quadratic(n=600)
    found = []
    for seed in range(40):
        each = Quadratic(source.a, source.b, source.flat)
        fixed = np.random.default_rng(seed).standard_normal(600)
        each.gradient = lambda fixed=fixed: fixed
        each.name = (0, 600, seed)
        found.append(value("density", each))
    assert np.mean(found) == pytest.approx(1, abs=4 * np.std(found) / math.sqrt(40))


def test_weight_signals():
    source = quadratic()
    assert value("weight-norm", source) == pytest.approx(math.dist(source.flat, [0] * N))
    assert value("weight-gini", source) == pytest.approx(naive.gini(list(source.flat)))


@pytest.mark.parametrize(("values", "share"), [([3.0] * 6, 1.0), ([2.0] + [0.0] * 5, 1 / 6)])
def test_effective_rank_of_equal_singular_values_is_full_and_of_one_is_one(values, share):
    matrix = np.zeros((6, 10))
    matrix[range(6), range(6)] = values
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    source = quadratic()
    source.flat = (rotation @ matrix).ravel()
    assert value("effective-rank", source) == pytest.approx(share)


def test_curvature_signals_of_quadratic_losses_are_exact():
    """Fault: a commutator of other steps, a cosine of other gradients, a Hessian of both halves."""
    source = quadratic()
    a, b = source.a @ source.flat, source.b @ source.flat
    lengths = math.dist(a, [0] * N), math.dist(b, [0] * N)
    h = 1e-3 * math.dist(source.flat, [0] * N) / max(lengths)
    crossed = h * (source.a @ b - source.b @ a)
    assert value("half-cosine", source) == pytest.approx(a @ b / (lengths[0] * lengths[1]))
    expected = math.dist(crossed, [0] * N) / sum(lengths)
    assert value("commutator", source) == pytest.approx(expected, rel=1e-6)
    source.a = np.diag(np.diag(source.a))  # v . A v is then the trace for every v of signs
    assert value("hessian-trace", source) == pytest.approx(np.trace(source.a))
    memory = state.Memory(losses=[1.0])
    found = [value("hessian-top", source, t, memory) for t in range(300)]
    assert found[-1] == pytest.approx(np.linalg.eigvalsh(source.a)[-1], rel=1e-3)


def test_hutchinson_averages_to_the_trace():
    source = quadratic()
    found = [value("hessian-trace", source, t) for t in range(400)]
    error = np.std(found) / math.sqrt(400)
    assert np.mean(found) == pytest.approx(np.trace(source.a), abs=4 * error)
    assert error > 0


def test_loss_signals_are_of_the_detrended_logarithm():
    """Fault: a fall of the loss itself counts as variance, or as autocorrelation."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(state.WINDOW)
    times = list(range(state.WINDOW))
    line = np.polynomial.polynomial.polyfit(times, noise, 1)
    rest = [x - line[0] - line[1] * t for t, x in zip(times, noise, strict=True)]
    power = math.fsum(x * x for x in rest)
    losses = [math.exp(-0.3 * t + x) for t, x in zip(times, noise, strict=True)]
    memory = state.Memory(losses=losses)
    source = quadratic()
    assert value("train-loss", source, 0, memory) == losses[-1]
    assert value("loss-variance", source, 0, memory) == pytest.approx(power / len(rest))
    lagged = math.fsum(x * y for x, y in zip(rest[1:], rest, strict=False))
    assert value("loss-autocorrelation", source, 0, memory) == pytest.approx(lagged / power)
    assert math.isnan(value("loss-variance", source, 0, state.Memory(losses=losses[1:])))


def test_what_is_undefined_is_nan_and_never_a_number():
    source = quadratic()
    source.flat = np.zeros(N)
    silent = ("gradient-gini", "kurtosis", "quantile-ratio", "half-cosine", "commutator")
    for name in (*silent, "participation-ratio", "step-cosine", "task-structure"):
        assert math.isnan(value(name, source)), name


# --- cost -----------------------------------------------------------------------------------------


def test_a_signal_is_charged_with_all_that_it_needs_and_nothing_else(monkeypatch):
    """Fault: the first signal that needs the gradient pays for all others."""
    now = [0.0]
    monkeypatch.setattr(state.time, "perf_counter", lambda: now[0])
    source = quadratic()
    gradient = source.gradient

    def slow():
        now[0] += 10.0
        return gradient()

    source.gradient = slow
    one = State(source, 0, state.Memory(losses=[1.0]))
    names = ("kurtosis", "density", "train-loss")
    cost = {name: one.measure(name, registry.own()[name].of)[1] for name in names}
    assert cost["kurtosis"] == 10
    assert cost["density"] == 10
    assert cost["train-loss"] == 0
    assert source.calls == 1


# --- registry -------------------------------------------------------------------------------------


def test_all_leaves_out_what_is_costly_or_no_score():
    names = {each.name for each in registry.chosen(("all",))}
    assert {"density", "weight-norm", "task-structure"} <= names
    assert not names & {"size", "alpha", "llc"}


def test_an_unknown_signal_is_refused_with_the_nearest_name():
    with pytest.raises(OptionError, match="weight-norm"):
        registry.chosen(("weight-nrm",))


def largest(state):
    """Return the largest weight."""
    return abs(state.weights).max()


def test_a_function_of_a_module_is_a_signal():
    (found,) = registry.chosen((f"{__name__}:largest",))
    assert (found.name, found.about) == ("largest", "Return the largest weight.")
    with pytest.raises(OptionError, match="nowhere"):
        registry.chosen(("nowhere:largest",))


def test_a_signal_cannot_take_the_name_of_another(monkeypatch):
    """Fault: a user's `density` in place of ours, or a row that `warn` overwrites."""
    monkeypatch.setattr(registry, "_known", dict(registry.own()))
    for name in ("density", "white-noise", "test_accuracy"):
        with pytest.raises(OptionError, match=name):
            signal(name, about="mine")(largest)


def test_a_signal_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(registry, "_known", dict(registry.own()))
    signal("failing", about="divides by zero")(lambda state: 1 // 0)
    with pytest.raises(RunError, match="the signal failing failed at epoch 0"):
        measured(**PARITY, signals="failing", threads=1)


def test_another_package_names_signals_as_entry_points(monkeypatch):
    """Fault: what the documentation shows for a signal of one's own does not work."""

    class Point:
        def load(self):
            signal("entry-point", about="of another package")(largest)

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point()])
    monkeypatch.setattr(registry, "_known", dict(registry.own()))
    (found,) = registry.chosen(("entry-point",))
    assert found.of is largest
    assert registry.kind_of("entry-point") == "signal"


def test_costly_signals_are_measured_rarely():
    collector = Collector(quadratic(), registry.chosen(("weight-norm",)), 2)
    slow = registry.Signal("slow", lambda _: 1.0, "", costly=True)
    collector.signals = [*collector.signals, slow]
    for t in range(2 * COSTLY + 1):
        collector.take(t, {"loss": 1.0})
    names = [row[1] for row in collector._rows]
    assert (names.count("weight-norm"), names.count("slow")) == (COSTLY + 1, 2)


# --- train --signals ------------------------------------------------------------------------------

OF_TASKS = [XOR, PARITY, pytest.param(MODADD, marks=pytest.mark.extra("torch"))]


@pytest.fixture(scope="module")
def trained():
    """Train a task once, with and without signals."""
    kept = {}

    def get(options):
        key = options.get("task", "xor")
        if key not in kept:
            kept[key] = grokcrit.train(**options), *measured(**options, signal_every=2)
        return kept[key]

    return get


@pytest.mark.parametrize("options", OF_TASKS)
def test_measuring_signals_changes_no_bit_of_a_training(trained, options):
    without, beside, _ = trained(options)
    assert without.equals(beside)


@pytest.mark.parametrize("options", OF_TASKS)
def test_signals_are_of_the_state_of_their_epoch(trained, options):
    """Fault: weights after the update with the loss before it."""
    train, _, table = trained(options)
    rows = {(r["seed"], r["epoch"]): r for r in train.to_pylist()}
    found = [r for r in table.to_pylist() if (r["seed"], r["epoch"]) in rows]
    checked = 0
    for each in found:
        row = rows[each["seed"], each["epoch"]]
        if each["signal"] in ("train_accuracy", "test_accuracy"):
            assert each["value"] == row[each["signal"]]
        if each["signal"] == "train-loss":
            assert each["value"] == row["loss"]
        if each["signal"] == "gradient-norm" and row["gradient"] is not None:
            assert each["value"] == pytest.approx(np.linalg.norm(row["gradient"]), rel=1e-6)
            checked += 1
    assert checked == 2 * 4
    names = {(r["seed"], r["epoch"]) for r in found if r["signal"] == "weight-norm"}
    assert names == {(s, t) for s in (0, 1) for t in range(0, 13, 2)}


@pytest.mark.parametrize("options", OF_TASKS)
def test_values_are_the_same_for_any_threads(options):
    one, two = (measured(**options, threads=k, signal_every=4)[1] for k in (1, 2))
    timed = ["seconds", "training_seconds"]
    assert one.drop_columns(timed).equals(two.drop_columns(timed))
    assert one["seconds"].null_count < one.num_rows


@pytest.mark.extra("torch")
def test_a_hessian_product_is_the_difference_of_gradients():
    from grokcrit.tasks.modadd.training import Run

    run = Run(run_options(**MODADD), 8, 0, False)
    for _ in range(3):
        run.epoch()
    rng = np.random.default_rng(0)
    vector = rng.standard_normal(len(run.weights()))
    vector /= np.linalg.norm(vector)
    # A step that crosses no kink of the rectifiers, and is not lost in single precision.
    ends = [run.on_half(0, run.weights() + s * 3e-3 * vector)[1] for s in (1, -1)]
    slope = (ends[0].astype(float) - ends[1]) / 6e-3
    assert np.linalg.norm(run.hessian_product(vector) - slope) < 1e-3 * np.linalg.norm(slope)


@pytest.mark.extra("signals")
def test_signals_of_libraries_are_numbers_and_the_same_again():
    """Fault: a chain that another thread's draws change, or prints on the terminal."""
    names = ("alpha", "llc")
    found = [measured(**PARITY, signals=names, threads=k)[1] for k in (1, 2)]
    assert found[0]["value"].equals(found[1]["value"])
    rows = [row for row in found[0].to_pylist() if row["signal"] in names]
    assert {(row["signal"], row["epoch"]) for row in rows} == {
        (n, t) for n in names for t in (0, 10)
    }
    assert all(row["value"] is not None for row in rows)


# --- what is drawn, and how long runs go on -------------------------------------------------------


def test_a_seed_draws_its_options_and_cells_share_them():
    draw = ("lr=0.1..0.2", "weight-decay=0.001..0.1:log", "samples=100..200")
    options = run_options(**PARITY | {"seeds": 40}, draw=draw, label="a")
    runs = [each for each, _, _ in every_run([options])]
    assert {each.case for each in runs} == {"a"}
    rates, decays = (np.array([getattr(r, n) for r in runs]) for n in ("lr", "weight_decay"))
    assert ((rates >= 0.1) & (rates <= 0.2)).all()
    assert np.log10(decays).mean() == pytest.approx(-2, abs=4 * (2 / math.sqrt(12)) / math.sqrt(40))
    assert {type(each.samples) for each in runs} == {int}
    # What a table's record holds is enough to know them.
    assert drawn(options.case_options, 3)["lr"] == runs[3].lr
    other = run_options(**PARITY, draw=draw[:2], label="b", labels="shuffled")
    assert every_run([other])[1][0].lr == runs[1].lr


def test_cells_of_controls_do_not_draw_what_they_change():
    options = run_options(
        **PARITY | {"samples": 900, "bits": 16}, draw=("weight-decay=0.001..0.002",), controls=True
    )
    cells = {each.case: each for each in options.cells()}
    assert cells["few"].draw == options.draw
    assert (cells["few-no-decay"].draw, cells["few-no-decay"].weight_decay) == ((), 0.0)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("lr", "range"),
        ("lr=2..1", "range"),
        ("hidden=8..16", "must be one of"),
        ("lr=-1..1", "above 0"),
        ("weight-decay=0..1:log", "above 0"),
    ],
)
def test_a_draw_that_cannot_be_is_refused(text, about):
    with pytest.raises(OptionError, match=about):
        run_options(**PARITY, draw=(text,))


def test_a_run_ends_after_it_has_grokked():
    whole = grokcrit.train(**PARITY | {"epochs": 40})
    ended = grokcrit.train(**PARITY | {"epochs": 40}, after_grok=3)
    for seed in (0, 1):
        rows = [r for r in whole.to_pylist() if r["seed"] == seed]
        grok = next((r["epoch"] for r in rows if r["test_accuracy"] > 0.99), 37)
        mine = [r for r in ended.to_pylist() if r["seed"] == seed]
        assert [r["epoch"] for r in mine] == list(range(min(grok + 3, 40) + 1))
        assert [r["loss"] for r in mine] == [r["loss"] for r in rows[: len(mine)]]


def test_controls_are_watched_as_long_as_their_partners(tmp_path):
    """Fault: a control that is watched for another time, or by the calendar."""
    partner = {"task": "parity", "case": "base", "field": "gradient", "width": 8, "n_params": 121}
    rows = [
        partner | {"seed": 0, "epoch": t, "signal": name, "value": float(t >= at)}
        for name, at in (("train_accuracy", 2), ("test_accuracy", 7))
        for t in range(9)
    ]
    table = pa.Table.from_pylist(rows, SIGNALS.arrow)
    options = watched_as(run_options(**PARITY, signals="weight-norm"), table)
    assert (options.exposure(8, 0), options.exposure(8, 1)) == (6, 0)
    runs = list(grokcrit.stages.train.runs(options, threads=1))
    for seed, exposure in ((0, 6), (1, 0)):
        accuracy = runs[seed].rows["train_accuracy"].to_numpy()
        memorised = np.flatnonzero(accuracy > 0.99)
        last = memorised[0] + exposure if len(memorised) else 12
        assert len(accuracy) == min(last, 12) + 1
    with pytest.raises(TableError, match="2 cases"):
        watched_as(options, pa.concat_tables([table, table.set_column(1, "case", [["b"] * 18])]))


def test_tables_of_signals_are_read_as_any_other(trained):
    table = trained(PARITY)[2]
    inputs = Inputs(table, SIGNALS)
    assert inputs.read().num_rows == table.num_rows
    assert SIGNALS.ordered(table).equals(table)


def test_every_signal_has_a_paragraph_in_the_documentation():
    page = (Path(__file__).resolve().parents[2] / "docs/early-warning.md").read_text()
    told = page.partition("## The signals")[2]
    assert [name for name in registry.own() if f"**{name}**" not in told and name != "size"] == []
