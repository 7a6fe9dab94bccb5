"""Under a GradScaler the recorded vector is the true gradient, or the order of calls is refused."""

import copy
import inspect
import itertools
import pickle

import numpy as np
import pytest

pytestmark = pytest.mark.extra("torch")

import torch  # noqa: E402
from torch import nn  # noqa: E402

from grokcrit.base.errors import OptionError, RecorderError  # noqa: E402
from grokcrit.live.scalers import histories  # noqa: E402
from grokcrit.torch import GradientRecorder  # noqa: E402
from tests.recording.models import RUN, by_autograd, loss_of, mlp  # noqa: E402

REFUSED = "refused"


numbers = itertools.count()


def new_recorder(folder, **options):
    """A recorder whose rows are read in memory: nothing is written."""
    made = GradientRecorder(folder / str(next(numbers)), **RUN, **options, part_snapshots=10**6)
    made._finalizer.detach()
    return made


def waiting(recorder):
    """The gradients that are not written yet."""
    return [vector for _, vector, _ in recorder._rows._gradients._rows if vector is not None]


class Loop:
    """A training of one model with optimizers a and b, whose calls are made by name.

    It keeps the true gradient by itself: the sum of autograd's since the last zero_grad, at the
    parameters of each backward. The scale doubles in every update, so that a stale one shows.
    """

    def __init__(self, folder, fused=(), *, whole=False, scalers=1):
        self.model = mlp()
        halves = [list(self.model[0].parameters()), list(self.model[2].parameters())]
        if whole:
            halves = [list(self.model.parameters())]
        self.optimizers = {
            name: torch.optim.SGD(half, lr=0.1, fused=name in fused or None)
            for name, half in zip("ab", halves, strict=False)
        }
        made = [self.new_scaler(), self.new_scaler(32.0)]
        self.scalers = dict(zip("ab", itertools.cycle(made[:scalers])))
        self.scaler = self.scalers["a"]
        self.recorder = new_recorder(folder)
        self.true, self.step, self.found = None, 0, []
        self.updated = self.mixed = False

    def new_scaler(self, scale=2.0**16):
        return torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1)

    def backward(self, scaler=None):
        loss = loss_of(self.model, self.step)
        new = by_autograd(self.model, loss)
        self.mixed |= self.updated and self.true is not None
        self.updated = False
        self.true = new if self.true is None else self.true + new
        (scaler or self.scaler).scale(loss).backward()

    def zero(self, none=True):
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=none)
        self.true = None if none else np.zeros(32)

    def record(self, **options):
        """Append the vector, or REFUSED, beside the true one."""
        self.step += 1
        try:
            self.recorder.record(self.model, self.step, **{"scaler": self.scaler, **options})
        except RecorderError as error:
            self.found.append((REFUSED, str(error)))
        else:
            self.found.append((waiting(self.recorder)[-1], self.true))

    def do(self, call):
        """Make a call by its name: ``unscale a``, ``step b``, ``update``, ``zero`` ..."""
        name, _, who = call.partition(" ")
        if name == "unscale":
            self.scalers[who].unscale_(self.optimizers[who])
        elif name == "step":
            self.scalers[who].step(self.optimizers[who])
        elif name == "update":
            for scaler in {id(s): s for s in self.scalers.values()}.values():
                scaler.update()
            self.updated = True
        elif name == "clip":
            for p in self.model.parameters():
                p.grad.mul_(0.5)
            self.true = self.true * 0.5
        elif name == "replace":
            for p in self.model.parameters():
                p.grad = p.grad * 0.5
            self.true = self.true * 0.5
        elif name == "zero":
            self.zero(none=who != "filled")
        else:
            getattr(self, name)()


def same(found, true):
    return np.allclose(found, true, rtol=1e-5, atol=1e-8)


def run(loop, calls):
    """Make calls; return what was recorded: right, or the sentence of a refusal."""
    for call in calls.split(", "):
        loop.do(call)
    said = []
    for found, true in loop.found:
        if isinstance(found, str):
            said.append(true)
        else:
            assert same(found, true), f"{calls}: {np.unique(np.round(found / true, 3))}"
            said.append("right")
    return said


ITERATION = "zero, backward, unscale a, unscale b, step a, step b, update, "
AFTER = "before scaler.step"
ONE = [  # a single optimizer: the orders of PyTorch's notes on AMP, and those beside them
    ("backward, record, step a, update", ["right"]),
    ("backward, unscale a, record, step a, update", ["right"]),
    ("backward, unscale a, clip, record, step a, update", ["right"]),
    ("backward, unscale a, replace, record, step a, update", ["right"]),
    ("backward, record, unscale a, record, clip, record, step a, update", ["right"] * 3),
    ("backward, step a, record, update", [AFTER]),
    ("backward, step a, update, record", [AFTER]),
    ("backward, unscale a, step a, update, record", [AFTER]),
    ("backward, unscale a, update, record", [AFTER]),
    ("backward, step a, update, zero, record", ["no parameter has a gradient"]),
    ("backward, backward, backward, record, step a, update", ["right"]),  # accumulation
    ("backward, record, backward, record, unscale a, record, step a, update", ["right"] * 3),
    ("backward, unscale a, backward, record", ["a loss was scaled after"]),
    ("backward, unscale a, zero, backward, record", ["a loss was scaled after"]),
    ("backward, step a, update, backward, record", ["call zero_grad before"]),
    ("backward, step a, update, backward, unscale a, record", ["call zero_grad before"]),
    *(
        (f"backward, step a, {between}, backward, record, unscale a, clip, record", ["right"] * 2)
        for between in (
            "update, zero",
            "zero, update",
            "update, zero filled",
            "zero filled, update",
            "update, zero filled, backward, step a, update, zero filled",
        )
    ),
]


@pytest.mark.parametrize("fused", ["", "a"])
@pytest.mark.parametrize(("calls", "wanted"), ONE)
def test_one_optimizer_in_any_order_is_right_or_refused(tmp_path, calls, wanted, fused):
    said = run(Loop(tmp_path, fused, whole=True), calls)
    assert len(said) == len(wanted)
    for sentence, words in zip(said, wanted, strict=True):
        assert words in sentence


TWO = [  # "unscaled" belongs to each optimizer; the scaler forgets it in update
    ("backward, record", ["right"]),
    ("backward, unscale a, record", ["right"]),
    ("backward, unscale b, record", ["right"]),
    ("backward, unscale b, clip, record, unscale a, clip, record", ["right"] * 2),
    ("backward, unscale a, unscale b, clip, record, step a, step b, update", ["right"]),
    ("backward, step a, record", [AFTER]),
    ("backward, unscale b, step a, record", [AFTER]),
    ("backward, step a, step b, record", [AFTER]),
    ("backward, step a, step b, update, record", [AFTER]),
    ("backward, step a, update, record", [AFTER]),
    ("backward, unscale b, update, record", [AFTER]),
    (ITERATION + "zero, backward, record, unscale b, record, unscale a, record", ["right"] * 3),
    (ITERATION + "zero filled, backward, unscale b, clip, record", ["right"]),
    (ITERATION + "backward, record", ["call zero_grad before"]),
]


@pytest.mark.parametrize("fused", ["", "a", "ab"])
@pytest.mark.parametrize(("calls", "wanted"), TWO)
def test_two_optimizers_of_one_scaler_are_right_or_refused(tmp_path, calls, wanted, fused):
    said = run(Loop(tmp_path, fused), calls)
    assert len(said) == len(wanted)
    for sentence, words in zip(said, wanted, strict=True):
        assert words in sentence


CALLS = ("backward", "unscale a", "unscale b", "step a", "step b", "update", "zero")


def test_no_order_of_calls_records_a_wrong_gradient(tmp_path):
    """All orders of five calls that PyTorch itself allows, each with a record at its end.

    It fails on any factor taken from the scaler where it belongs to one optimizer, to an earlier
    update, or to a gradient that is a sum.
    """
    seen = dict.fromkeys(["scaler", "none", "part"], 0)
    waiting, walked = [("backward",)], 0
    while waiting:
        calls = waiting.pop()
        loop = Loop(tmp_path)
        try:
            for call in calls:
                loop.do(call)
        except (RuntimeError, AssertionError):
            continue  # unscaled twice, for example
        walked += 1
        if len(calls) < 5:
            waiting += [(*calls, call) for call in CALLS]
        loop.record()
        loop.record(scaler=None)
        loop.recorder = new_recorder(tmp_path, include=["2.*"])
        loop.record()
        for way, (found, true) in zip(seen, loop.found, strict=True):
            # Nothing tells that b's gradient is from before an update if b was not touched then.
            # PyTorch's notes rule such a sum out.
            if isinstance(found, str) or (way == "part" and loop.mixed):
                continue
            assert same(found, true[-12:] if way == "part" else true), (way, calls)
            seen[way] += 1
    assert walked > 500
    assert all(seen[way] >= n for way, n in (("scaler", 40), ("none", 5), ("part", 100)))


@pytest.mark.parametrize("none", [True, False])
def test_an_adversarial_loop_is_right_for_both_models(tmp_path, none):
    """It fails if a step of one optimizer counts for the other, or a late zero_grad is missed."""
    torch.manual_seed(0)
    made, judge = nn.Linear(2, 3), nn.Linear(3, 1)
    scaler = torch.amp.GradScaler("cpu", growth_interval=1)
    pairs = [(m, torch.optim.SGD(m.parameters(), lr=0.1)) for m in (judge, made)]
    recorders = [new_recorder(tmp_path), GradientRecorder(tmp_path, **{**RUN, "seed": 1})]
    for step in range(4):
        x, real = torch.randn(8, 2), torch.randn(8, 3)
        for turn, (model, optimizer) in enumerate(pairs):
            optimizer.zero_grad(set_to_none=none)
            fake = made(x) if turn else made(x).detach()
            loss = judge(fake).mean() - (0 if turn else judge(real).mean())
            wanted = by_autograd(model, loss)
            scaler.scale(loss).backward()
            if step % 2:
                scaler.unscale_(optimizer)
            assert recorders[turn].record(model, step, scaler=scaler)
            assert same(waiting(recorders[turn])[-1], wanted)
            scaler.step(optimizer)
        scaler.update()


def test_a_gradient_penalty_is_recorded_as_autograd_gives_it(tmp_path):
    """The loop of PyTorch's notes: a scaled gradient enters the loss. It counts as a loss, too."""
    model, scaler = mlp(), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = new_recorder(tmp_path)
    for step in range(2):
        optimizer.zero_grad()
        loss = loss_of(model, step)
        parts = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        wanted = by_autograd(model, loss + sum(p.square().sum() for p in parts))
        scaled = torch.autograd.grad(
            scaler.scale(loss), list(model.parameters()), create_graph=True
        )
        penalty = sum((p / scaler.get_scale()).square().sum() for p in scaled)
        scaler.scale(loss + penalty).backward()
        assert recorder.record(model, step, scaler=scaler)
        assert same(waiting(recorder)[-1], wanted)
        scaler.step(optimizer)
        scaler.update()


SEVERAL = [  # one scaler per optimizer, with other scales
    ("backward, record", "two GradScalers are in use"),
    ("backward, unscale a, record", "two GradScalers are in use"),
    ("backward, unscale a, unscale b, record", "right"),
]


@pytest.mark.parametrize(("calls", "wanted"), SEVERAL)
def test_one_scaler_per_optimizer_is_right_or_refused(tmp_path, calls, wanted):
    """Gradients of b are scaled by 32, those of a by 65,536: one number cannot undo both."""
    loop = Loop(tmp_path, scalers=2)

    def backward():
        loop.true = by_autograd(loop.model, loss_of(loop.model, 0))
        for name, optimizer in loop.optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            scaled = loop.scalers[name].scale(loss_of(loop.model, 0))
            scaled.backward(inputs=parameters)

    loop.backward = backward
    (said,) = run(loop, calls)
    assert wanted in said


ATTACHED = [  # first call attaches; the scaler is given or not
    ("a", False, "backward, step a, step b, update", "does not own 2.weight, 2.bias"),
    ("b", False, "backward, step a, step b, update", "has stepped already"),
    ("a", False, "backward, unscale a, unscale b, step a, step b, update", "right"),
    ("a", True, "backward, step a, step b, update", "right"),
    ("b", True, "backward, step b, step a, update", "right"),
    ("b", True, "backward, unscale a, step b, step a, update", "right"),
    ("b", True, "backward, step a, step b, update", "has stepped already"),
    ("a", True, "backward, unscale a, backward, step a", "a loss was scaled after"),
]


@pytest.mark.parametrize("fused", ["", "a", "ab"])
@pytest.mark.parametrize(("who", "given", "calls", "wanted"), ATTACHED)
def test_attached_to_one_of_two_optimizers(tmp_path, who, given, calls, wanted, fused):
    """Its hook runs when the gradients of that optimizer alone are sure to be unscaled."""
    loop = Loop(tmp_path, fused)
    scaler = loop.scaler if given else None
    loop.recorder.attach(loop.optimizers[who], loop.model, scaler=scaler)
    if wanted != "right":
        with pytest.raises(RecorderError, match=wanted):
            run(loop, calls)
        return
    run(loop, f"{calls}, zero, {calls}")
    assert len(waiting(loop.recorder)) == 2
    assert same(waiting(loop.recorder)[-1], loop.true)


def test_attached_without_a_scaler_other_optimizers_do_not_matter(tmp_path):
    model = mlp()
    first, second = (torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 2))
    recorder = new_recorder(tmp_path)
    recorder.attach(first, model)
    loss_of(model, 0).backward()
    wanted = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    first.step()
    second.step()
    assert np.array_equal(waiting(recorder)[-1], wanted)


@pytest.mark.parametrize("unscaled", ["", "a", "b", "ab"])
def test_an_overflow_in_one_of_two_optimizers_is_a_row_without_a_gradient(tmp_path, unscaled):
    loop = Loop(tmp_path)
    loop.do("backward")
    loop.model[0].bias.grad[1] = np.inf
    for who in unscaled:
        loop.do(f"unscale {who}")
    assert not loop.recorder.record(loop.model, 0, scaler=loop.scaler)
    assert (loop.recorder.snapshots, loop.recorder.skipped) == (0, 1)


def test_a_forgotten_scaler_is_refused_and_a_disabled_one_says_there_is_none(tmp_path):
    """Without scaler= the rows were 65,536 times too large, in silence."""
    loop = Loop(tmp_path)
    loop.do("backward")
    loop.record(scaler=None)
    assert "65536 times too large" in loop.found[-1][1]
    loop.do("unscale a")
    loop.do("unscale b")
    loop.record(scaler=None)
    assert same(*loop.found[-1])
    other = mlp(seed=1)  # another model of the same process, without mixed precision
    loss_of(other, 0).backward()
    recorder = new_recorder(tmp_path)
    assert recorder.record(other, 0, scaler=torch.amp.GradScaler(enabled=False, device="cpu"))
    wanted = np.concatenate([p.grad.numpy().ravel() for p in other.parameters()])
    assert np.array_equal(waiting(recorder)[-1], wanted)


@pytest.mark.parametrize("interrupted", ["unscale a", "unscale a, step a"])
def test_a_scaler_of_an_interrupted_training_does_not_disturb_the_next(tmp_path, interrupted):
    """A notebook keeps it alive, with the optimizers that it had unscaled."""
    old = Loop(tmp_path)
    for call in f"backward, {interrupted}".split(", "):
        old.do(call)
    for new_scaler in (True, False):
        new = Loop(tmp_path, whole=True)
        new.model = old.model
        optimizer = torch.optim.SGD(old.model.parameters(), lr=0.1)
        new.optimizers["a"] = optimizer
        new.do("zero")
        if new_scaler:
            said = run(new, "backward, record, unscale a, record, step a, update, zero")
            assert said == ["right"] * 2
            run(new, "backward, record, unscale a, record, step a, update")
        else:
            new.recorder.attach(optimizer, new.model)
            loss = loss_of(new.model, 0)
            wanted = by_autograd(new.model, loss)
            loss.backward()
            optimizer.step()
            assert np.array_equal(waiting(new.recorder)[-1], wanted)


def test_what_is_no_gradscaler_or_hides_its_calls_is_refused(tmp_path):
    class Own(torch.amp.GradScaler):
        def unscale_(self, optimizer):
            for p in optimizer.param_groups[0]["params"]:
                p.grad /= self.get_scale()
            self._per_optimizer_states[id(optimizer)]["stage"] = torch.amp.grad_scaler.OptState(1)

    loop = Loop(tmp_path)
    loop.scaler = Own("cpu", init_scale=4.0)
    loop.scalers = dict.fromkeys("ab", loop.scaler)
    (said,) = run(loop, "backward, unscale a, record")
    assert "were not noted" in said
    late = Loop(tmp_path)
    late.do("backward")
    del histories[late.scaler]  # as if grokcrit.torch had been imported now
    (said,) = run(late, "record")
    assert "import grokcrit.torch before the training" in said
    with pytest.raises(OptionError, match="must be a torch.amp.GradScaler"):
        loop.recorder.record(loop.model, 9, scaler=1024.0)


def test_a_scaler_can_still_be_pickled_copied_and_compiled_around():
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for other in (copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
        assert other.scale(torch.ones(())) == 4
    compiled = torch.compile(lambda x: scaler.scale(2 * x), backend="eager")
    assert compiled(torch.ones(())) == 8
    assert list(inspect.signature(torch.amp.GradScaler).parameters)[:2] == ["device", "init_scale"]


def test_a_parameter_in_two_optimizers_that_were_both_unscaled_is_refused(tmp_path):
    """PyTorch divides its gradient twice: it is 65,536 times too small."""
    loop = Loop(tmp_path)
    loop.optimizers["b"].add_param_group({"params": [loop.model[0].bias]})
    (said,) = run(loop, "backward, unscale a, unscale b, record")
    assert "0.bias is in two optimizers" in said


@pytest.mark.parametrize("unscaled", [False, True])
def test_a_scale_that_users_give_to_a_fused_optimizer_counts(tmp_path, unscaled):
    """Its step divides by both scales."""
    loop = Loop(tmp_path, "a", whole=True)
    loop.recorder.attach(loop.optimizers["a"], loop.model)
    wanted = by_autograd(loop.model, loss_of(loop.model, 0))
    loop.scaler.scale(loss_of(loop.model, 0) * 4).backward()
    loop.optimizers["a"].grad_scale = torch.tensor(4.0)
    if unscaled:
        loop.do("unscale a")
    loop.do("step a")
    assert same(waiting(loop.recorder)[-1], wanted)
