"""Signals of a training that is recorded: their parts, names, times, and whose they may be."""

import copy
import importlib.metadata
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402

import grokcrit  # noqa: E402
from grokcrit.base.errors import OptionError, TableError  # noqa: E402
from grokcrit.live.spacing import Spacing  # noqa: E402
from grokcrit.signals import State, signal  # noqa: E402
from grokcrit.tables.reading import Inputs  # noqa: E402
from grokcrit.tables.schemas import SIGNALS  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import ROOT, RUN, loss_of, mlp  # noqa: E402
from tests.recording.models import train as train_and_die  # noqa: E402
from tests.recording.signalled import (  # noqa: E402
    ALL,
    OF_HALVES,
    A,
    B,
    close,
    cosine,
    gradient_at,
    gradients,
    table,
    trained,
    vector_of,
)
from tests.unit.test_spacing import Clock  # noqa: E402

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


def test_warn_reads_the_parts_of_a_recorder(tmp_path):
    """Would catch a record or a column that the reader of signals does not know."""
    for case, control in (("words", None), ("shuffled", "words")):
        for seed in range(4):
            model = mlp(seed=seed)
            named = {"seed": seed, "case": case, "control": control}
            options = {**RUN, **named, "keep": "avalanches", "signals": ALL}
            with GradientRecorder(tmp_path / case, **options) as recorder:
                for step in range(40):
                    model.zero_grad()
                    loss_of(model, step).backward()
                    test_accuracy = float(control is None and step >= 30 + seed)
                    told = {"train_accuracy": float(step > 2), "test_accuracy": test_accuracy}
                    recorder.record(model, step, **told)
    folders = [tmp_path / case / "signals" for case in ("words", "shuffled")]
    scores = grokcrit.warn(folders).to_pylist()
    scored = {row["signal"] for row in scores if row["score"] == "auroc"}
    assert {"kurtosis", "density", "weight-norm"} <= scored
    assert {row["case"] for row in scores} == {"words"}
