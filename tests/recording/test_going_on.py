"""What cannot be recorded does not end a training: it is warned of once."""

import contextlib
import math
import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from grokcrit.base.errors import OptionError, TableError  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import RUN, gradients, loss_of, mlp, rows  # noqa: E402


def backward(model, step=0):
    model.zero_grad()
    loss_of(model, step).backward()


def of(model, *names):
    """The gradients of some parameters as one vector."""
    return np.concatenate([model.get_parameter(name).grad.numpy().ravel() for name in names])


ALL = ("0.weight", "0.bias", "2.weight", "2.bias")


def test_layers_that_are_unfrozen_are_left_out_and_warned_of_once(tmp_path):
    """A row of other tensors would change the length of the vector within a run."""
    model = mlp()
    model[0].requires_grad_(False)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        backward(model)
        assert recorder.record(model, 0)
        model[0].weight.requires_grad_(True)
        backward(model, 1)
        with pytest.warns(
            UserWarning, match=r"^0\.weight became trainable .* another folder from here on$"
        ):
            assert recorder.record(model, 1)
        model[0].bias.requires_grad_(True)
        backward(model, 2)
        assert recorder.record(model, 2)  # a second warning would be an error here
    wanted = of(model, "2.weight", "2.bias")
    assert np.array_equal(gradients(tmp_path)[2], wanted)
    # After a restart the run goes on in the same way.
    recorder = GradientRecorder(tmp_path, **RUN)
    with recorder, pytest.warns(UserWarning, match="became trainable"):
        assert recorder.record(model, 3)
    assert np.array_equal(gradients(tmp_path)[3], wanted)
    # Another run of that width has other tensors from the start: that is a mistake.
    recorder = GradientRecorder(tmp_path, **{**RUN, "seed": 1})
    with recorder, pytest.raises(TableError, match="choose another folder"):
        recorder.record(model, 0)


@pytest.mark.parametrize("missing", ["refuse", "zeros"])
def test_while_a_recorded_layer_is_frozen_rows_have_no_gradient(tmp_path, missing):
    """Zeros, or a gradient left from before, would pass for the layer's gradient."""
    model = mlp()
    with GradientRecorder(tmp_path, **RUN, missing=missing) as recorder:
        backward(model)
        assert recorder.record(model, 0, loss=0.5)
        for step, frozen in ((1, model[0]), (2, model)):  # all of them, too
            backward(model, step)
            frozen.requires_grad_(False)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                assert not recorder.record(model, step, loss=0.25)
            assert len(said) == (step == 1)
            assert not said or "are frozen now (0.weight, 0.bias)" in str(said[0].message)
        model.requires_grad_(True)
        backward(model, 3)
        assert recorder.record(model, 3)
    found = gradients(tmp_path)
    assert [each is None for each in found] == [False, True, True, False]
    assert [row["loss"] for row in rows(tmp_path)] == [0.5, 0.25, 0.25, None]
    assert np.array_equal(found[3], of(model, *ALL))


def test_a_layer_that_is_replaced_on_the_way_is_warned_of(recorder):
    model = mlp()
    backward(model)
    recorder.record(model, 0)
    model[2] = nn.Linear(5, 3)
    backward(model)
    with pytest.warns(UserWarning, match=r"another shape \(2\.weight, 2\.bias\)"):
        assert not recorder.record(model, 1)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.tensor(1.0000001), 1.0),
        (np.float32(1) + np.finfo(np.float32).eps, 1.0),
        (1 + 5e-5, 1.0),
        (-1e-9, 0.0),
        (0.5, 0.5),
        (math.nan, None),
    ],
)
def test_an_accuracy_that_rounding_has_put_outside_is_put_back(tmp_path, given, kept):
    model = mlp()
    backward(model)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.record(model, 0, test_accuracy=given)
    assert rows(tmp_path)[0]["test_accuracy"] == kept


@pytest.mark.parametrize("given", [87.0, 1.01, -0.5, math.inf])
def test_an_accuracy_that_is_no_share_is_missing_and_warned_of_once(tmp_path, given):
    model = mlp()
    backward(model)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        with pytest.warns(UserWarning, match="^test_accuracy .* divide percentages by 100$"):
            assert recorder.record(model, 0, train_accuracy=0.5, test_accuracy=given)
        assert recorder.record(model, 1, test_accuracy=given)
    assert [row["test_accuracy"] for row in rows(tmp_path)] == [None, None]
    assert rows(tmp_path)[0]["train_accuracy"] == 0.5


class Accelerated(torch.optim.Optimizer):
    """As in accelerate: derives from Optimizer without its __init__."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    param_groups = property(lambda self: self.optimizer.param_groups, lambda self, value: None)

    def step(self, closure=None):
        return self.optimizer.step(closure)


class Lightning:
    """As in Lightning: no Optimizer, passes all it does not know on."""

    def __init__(self, optimizer):
        self._optimizer = optimizer

    def __getattr__(self, name):
        return getattr(self._optimizer, name)

    def step(self, closure=None):
        return self._optimizer.step() if closure is None else self._optimizer.step(closure)


class Copied(torch.optim.SGD):
    """As in older Lightning: has the inner one's attributes, hooks among them."""

    def __init__(self, optimizer):
        self.__dict__ = dict(optimizer.__dict__)
        self._optimizer = optimizer

    def step(self, closure=None):
        return self._optimizer.step(closure)


class Derived(torch.optim.SGD):
    """Calls the step of its class: torch runs the hooks twice."""

    def __init__(self, optimizer):
        super().__init__(optimizer.param_groups)

    def step(self, closure=None):
        return super().step(closure)


@pytest.mark.parametrize(
    "wrap",
    [Accelerated, Lightning, Copied, Derived, lambda each: Lightning(Accelerated(each))],
)
def test_wrapped_optimizers_are_recorded_once_per_step(tmp_path, wrap):
    """It fails if the hook sits on a wrapper that never runs it, or counts a step twice."""
    model = mlp()
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    outer, wanted = wrap(inner), []
    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.attach(outer, model)
        recorder.attach(outer, model)
        for step in range(3):
            backward(model, step)
            wanted.append(of(model, *ALL))
            outer.step()
    assert [row["epoch"] for row in rows(tmp_path)] == [0, 1, 2]
    assert np.array_equal(gradients(tmp_path), wanted)
    backward(model)
    outer.step()  # detached: nothing is recorded, and the closed recorder is not asked


class Unknown:
    """An optimizer with nothing inside that could be hooked."""

    def __init__(self, model):
        self.model = model

    def step(self):
        pass


class Master(Unknown):
    """Updates copies of the parameters, as with half precision and master weights."""

    def __init__(self, model):
        copies = [p.detach().clone().requires_grad_() for p in model.parameters()]
        self.optimizer = torch.optim.SGD(copies, lr=0.1)


@pytest.mark.parametrize("kind", [Unknown, Master])
def test_an_optimizer_that_cannot_be_hooked_is_warned_of_once(tmp_path, kind):
    model = mlp()
    optimizer = kind(model)
    with GradientRecorder(tmp_path, **RUN) as recorder:
        with pytest.warns(UserWarning, match=f"^{kind.__name__} has no optimizer inside"):
            recorder.attach(optimizer, model)
        recorder.attach(optimizer, model)
        backward(model)
        optimizer.step()
        assert recorder.record(model, 0)


def test_what_is_no_optimizer_at_all_is_refused(recorder):
    model = mlp()
    with pytest.raises(OptionError, match="must be a torch optimizer"):
        recorder.attach(model, torch.optim.SGD(model.parameters()))


@pytest.mark.parametrize("by_name", [False, True])
def test_steps_with_a_closure_are_warned_of_once_and_counted(tmp_path, by_name):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def closure():
        backward(model)

    def step():
        return optimizer.step(closure=closure) if by_name else optimizer.step(closure)

    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.attach(optimizer, model)
        with pytest.warns(UserWarning, match="at the end of the closure"):
            step()
        step()
        backward(model)
        optimizer.step()
    assert [row["epoch"] for row in rows(tmp_path)] == [2]


class Twice(torch.optim.SGD):
    """Calls the step of its class twice, as some second-order methods do; fails when told to."""

    broken = False

    def step(self, closure=None):
        super().step(closure)
        if self.broken:
            raise RuntimeError("out of memory")
        return super().step(closure)


def test_steps_go_on_being_recorded_after_one_that_failed(tmp_path):
    """It fails if a step that raised is taken for one that is still running: silence after it."""
    model = mlp()
    optimizer, wanted = Twice(model.parameters(), lr=0.1), []
    with GradientRecorder(tmp_path, **RUN) as recorder:
        recorder.attach(optimizer, model)
        for step in range(4):
            optimizer.zero_grad()
            backward(model, step)
            wanted.append(of(model, *ALL))
            optimizer.broken = step == 1
            with contextlib.suppress(RuntimeError):
                optimizer.step()
    assert [row["epoch"] for row in rows(tmp_path)] == [0, 1, 2, 3]
    assert np.array_equal(gradients(tmp_path), wanted)


def test_prefixes_of_wrappers_are_not_in_the_names(tmp_path):
    """It fails if a compiled or checkpointed block has other names: another model to a restart."""
    model = mlp()
    inner = torch.nn.Sequential(model[0])
    inner._orig_mod = inner._modules.pop("0")  # as torch.compile of a submodule names it
    wrapped = torch.nn.Sequential(inner, model[1], model[2])
    assert any("._orig_mod." in name for name, _ in wrapped.named_parameters())
    wrapped.forward = model.forward
    with GradientRecorder(tmp_path, **RUN, include=["0._orig_mod.*", "2.*"]) as recorder:
        backward(model)
        recorder.record(wrapped, 0)
    with GradientRecorder(tmp_path, **RUN, include=["0._orig_mod.*", "2.*"]) as recorder:
        backward(model)
        recorder.record(model, 1)  # without the wrapper it is the same model
    assert [row["epoch"] for row in rows(tmp_path)] == [0, 1]


def test_a_step_that_skips_a_layer_has_no_gradient_and_ends_nothing(tmp_path):
    """It fails if stochastic depth ends a training that has rows."""
    model = mlp()
    with GradientRecorder(tmp_path, **RUN) as recorder:
        backward(model)
        assert recorder.record(model, 0)
        model[0].weight.grad = None
        with pytest.warns(UserWarning, match="step 1 is recorded without a gradient: 0.weight"):
            assert not recorder.record(model, 1)
        backward(model, 2)
        assert recorder.record(model, 2)
    assert [each is None for each in gradients(tmp_path)] == [False, True, False]
