"""Modular addition: the task, the models against plain ones, the runs and their tables."""

import dataclasses
import math

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import nn
from torch.nn import functional

import grokcrit
from grokcrit.base.errors import OptionError
from grokcrit.tasks import run_options, snapshots
from grokcrit.tasks.modadd import ModaddOptions, training
from grokcrit.tasks.modadd.models import Model, initial_parameters
from grokcrit.tasks.modadd.pairs import labels_of, pairs_of

pytestmark = pytest.mark.extra("torch")
SMALL = {"task": "modadd", "prime": 7, "hidden": (8, 12, 16), "seeds": 2, "epochs": 12}


# --- the task -----------------------------------------------------------------------------------


def test_a_split_over_ordered_pairs_leaks_mirrors_and_one_over_unordered_pairs_does_not():
    leaky = pairs_of(ModaddOptions(), 0)
    assert len(leaky.train) == round(0.8 * 59 * 59)
    test = len(leaky.mirrored) + len(leaky.unmirrored)
    # A mirror trains with probability 0.8, but for the 59 pairs (a, a), which have none.
    assert len(leaky.mirrored) / test == pytest.approx(0.8 * 58 / 59, abs=0.05)
    clean = pairs_of(ModaddOptions(split="sym"), 0)
    assert len(clean.mirrored) == 0
    trains = set(zip(clean.a[clean.train].tolist(), clean.b[clean.train].tolist(), strict=True))
    assert all((b, a) in trains for a, b in trains)


def test_every_pair_is_on_one_side_and_knows_its_sum():
    found = pairs_of(ModaddOptions(prime=11, train_fraction=0.6), 3)
    parts = np.concatenate([found.train, found.mirrored, found.unmirrored])
    assert sorted(parts.tolist()) == list(range(121))
    for a, b, total in zip(found.a, found.b, found.total, strict=True):
        assert total == (int(a) + int(b)) % 11
    for place in found.mirrored:
        assert found.b[place] * 11 + found.a[place] in found.train


@pytest.mark.parametrize("split", ["pairs", "sym"])
def test_shuffled_labels_stay_on_their_side_and_say_nothing_of_the_sum(split):
    """Fault: labels cross the split, keep their place, or lose the symmetry of sums."""
    options = ModaddOptions(prime=23, split=split, labels="shuffled")
    found = pairs_of(options, 1)
    labels = labels_of(options, found, 1)
    test = np.concatenate([found.mirrored, found.unmirrored])
    for side in (found.train, test):
        assert sorted(labels[side].tolist()) == sorted(found.total[side].tolist())
        # By chance 1 of 23 stays; of 423 or 106 pairs never a fifth.
        assert (labels[side] == found.total[side]).mean() < 0.2
    if split == "sym":
        assert np.array_equal(labels, labels[found.b * 23 + found.a])
    plain = ModaddOptions(prime=23, split=split)
    assert np.array_equal(labels_of(plain, found, 1), found.total)


def test_a_run_with_shuffled_labels_memorises_and_stays_at_chance():
    """Fault: the test labels can be guessed from the training labels."""
    options = {"task": "modadd", "model": "mlp", "prime": 23, "hidden": (128,), "seeds": 3}
    found = grokcrit.train(**options, epochs=60, labels="shuffled", gradients=False)
    last = found.filter(pc.equal(found["epoch"], 60))
    assert min(last["train_accuracy"].to_pylist()) > 0.99
    # Chance is 1 of 23, with a standard error of 0.011 over 3 runs of 106 test pairs.
    assert np.mean(last["test_accuracy"].to_pylist()) < 1 / 23 + 4 * 0.011


# --- the models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "width", "n"),
    [
        # The recipes' own counts.
        *(("transformer", d, n) for d, n in ((32, 16_544), (48, 34_032), (64, 57_664))),
        *(("transformer", d, n) for d, n in ((96, 123_360), (128, 213_632))),
        *(("mlp", d, 177 * d) for d in (120, 192, 340, 680, 1200)),
    ],
)
def test_the_models_have_as_many_parameters_as_the_recipes(model, width, n):
    options = ModaddOptions(model=model)
    assert sum(math.prod(shape) for _, shape in options.shapes(width)) == n
    assert len(initial_parameters(options, width, 0)) == n


class PlainTransformer(nn.Module):
    """The same network as anyone would write it: three tokens, full attention, modules."""

    def __init__(self, p, d, w):
        super().__init__()
        self.p, self.d, self.w = p, d, w

    def forward(self, a, b):
        w, d = self.w, self.d
        tokens = torch.stack([a, b, torch.full_like(a, self.p)], 1)
        x = functional.embedding(tokens, w["tokens"]) + w["positions"]
        h = functional.layer_norm(x, (d,), w["norm1.weight"], w["norm1.bias"])
        q, k, v = (
            (h @ w[name].T).view(len(a), 3, 4, d // 4).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + mixed.transpose(1, 2).reshape(len(a), 3, d) @ w["output"].T
        h = functional.layer_norm(x, (d,), w["norm2.weight"], w["norm2.bias"])
        h = torch.relu(h @ w["up.weight"].T + w["up.bias"]) @ w["down.weight"].T + w["down.bias"]
        x = functional.layer_norm(x + h, (d,), w["norm3.weight"], w["norm3.bias"])
        return x[:, -1] @ w["unembedding"].T


def parts_of(flat, shapes):
    """The tensors of a flat vector, by hand."""
    found, at = {}, 0
    for name, shape in shapes:
        size = math.prod(shape)
        found[name] = flat[at : at + size].reshape(shape).clone().requires_grad_()
        at += size
    assert at == len(flat)
    return found


def plain_logits(options, width, w, a, b):
    if options.model == "transformer":
        return PlainTransformer(options.prime, width, w)(a, b)
    return torch.relu(w["A"][a] + w["B"][b]) @ w["U"].T


@pytest.mark.parametrize(("model", "width"), [("transformer", 32), ("mlp", 24)])
def test_loss_and_gradient_are_those_of_a_plain_network(model, width):
    options = ModaddOptions(model=model, prime=13)
    flat = torch.from_numpy(initial_parameters(options, width, 1))
    flat = flat + 0.1 * torch.randn(len(flat), generator=torch.Generator().manual_seed(0))
    shapes = options.shapes(width)
    w = parts_of(flat, shapes)
    run = training.Run(options, width, 1, cache=False)
    run.flat = flat.clone().requires_grad_()
    a, b = run.a[run.train], run.b[run.train]
    loss = functional.cross_entropy(plain_logits(options, width, w, a, b), (a + b) % 13)
    gradients = torch.autograd.grad(loss, list(w.values()))
    wanted = torch.cat([g.reshape(-1) for g in gradients]).numpy()
    assert run.loss(run.train).item() == pytest.approx(loss.item(), rel=1e-5)
    np.testing.assert_allclose(run.gradient(), wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("model", ["transformer", "mlp"])
def test_an_epoch_is_that_of_adamw_on_each_tensor(model):
    options = ModaddOptions(model=model, prime=11, batch=32, weight_decay=0.7)
    run = training.Run(options, 16, 0, cache=False)
    w = parts_of(run.flat.detach(), options.shapes(16))
    plain = torch.optim.AdamW(list(w.values()), lr=1.0, betas=(0.9, 0.98), weight_decay=0.7)
    order = training.stream("modadd-batches", 0, 16, 0)
    updates = 0
    for _ in range(3):
        shuffled = run.train[torch.from_numpy(order.permutation(len(run.train)))]
        for first in range(0, len(shuffled), 32):
            chosen = shuffled[first : first + 32]
            a, b = run.a[chosen], run.b[chosen]
            plain.zero_grad()
            logits = plain_logits(options, 16, w, a, b)
            functional.cross_entropy(logits, (a + b) % 11).backward()
            updates += 1
            plain.param_groups[0]["lr"] = options.lr * min(1, updates / 10)
            plain.step()
        run.epoch()
    wanted = torch.cat([part.detach().reshape(-1) for part in w.values()])
    np.testing.assert_allclose(run.flat.detach().numpy(), wanted.numpy(), rtol=0, atol=2e-4)


def test_inline_hands_adamw_the_redistributed_gradient():
    options = ModaddOptions(model="mlp", prime=11, probe="inline", hidden=(16,))
    run = training.Run(options, 16, 0, cache=False)
    before, gradient = run.flat.detach().clone(), run.gradient()
    run.epoch()
    moved = snapshots.probed(options, run.graph, gradient).gradient
    # AdamW's first update is the sign of its gradient, and the decay.
    rate = options.lr / 10
    wanted = before.numpy() * (1 - rate) - rate * np.sign(moved)
    sure = np.abs(moved) > 1e-6
    assert (np.sign(moved) != np.sign(gradient)).any()
    np.testing.assert_allclose(run.flat.detach().numpy()[sure], wanted[sure], atol=1e-5)


# --- the runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table():
    return grokcrit.train(**SMALL, threads=2)


def test_the_table_is_the_same_whatever_the_workers_and_what_else_is_trained(table):
    alone = grokcrit.train(**SMALL | {"hidden": (12,)}, threads=1)
    chosen = [r for r in table.to_pylist() if r["width"] == 12]
    assert chosen == alone.to_pylist()


def test_rows_between_snapshots_have_no_gradient_and_no_cascade(table):
    assert table.num_rows == 3 * 2 * 13
    for row in table.to_pylist():
        snapshot = row["epoch"] % 10 == 0
        for name in ("gradient", "size", "threshold", "deviation", "truncated"):
            assert (row[name] is not None) == snapshot
        assert 0 <= row["train_accuracy"] <= 1
        assert row["task"] == "modadd"


def test_the_stage_avalanche_repeats_the_numbers_of_training(table):
    offline = {
        (r["width"], r["seed"], r["epoch"]): r for r in grokcrit.avalanche(table).to_pylist()
    }
    rows = [r for r in table.to_pylist() if r["size"] is not None]
    assert len(rows) == len(offline) == 12
    for row in rows:
        other = offline[row["width"], row["seed"], row["epoch"]]
        for name in ("size", "area", "duration", "peak", "truncated"):
            assert row[name] == other[name]
        assert row["threshold"] == pytest.approx(other["threshold"], rel=1e-6)


def test_gradients_are_single_and_name_their_tensors(table):
    assert table.schema.field("gradient").type.value_type == "float"
    found = grokcrit.avalanche(table, surrogate="permute-layers")
    assert found.num_rows == 12


def rows_with(accuracy):
    names = ("loss", "train_accuracy", "mirrored_accuracy", "unmirrored_accuracy", "weight_gini")
    return [{**dict.fromkeys(names, 0.5), "test_accuracy": value} for value in accuracy]


@pytest.mark.parametrize("window", [None, 10])
def test_a_run_groks_at_the_first_test_accuracy_above_99_percent_and_keeps_what_is_near(window):
    options = ModaddOptions(prime=7, hidden=(8,), snapshot_window=window)
    run = training.Run(options, 8, 0, cache=False)
    accuracy = [0.1] * 30 + [0.99, 1.0, 0.2] + [1.0] * 28
    gradient = np.ones(len(run.flat), np.float32)
    rows = rows_with(accuracy)
    near = training.near_grokking(options, rows, dict.fromkeys(range(0, 61, 10), gradient))
    found = snapshots.table_of(run, rows, near)
    assert set(found["grok_epoch"].to_pylist()) == {31}
    kept = [r["epoch"] for r in found.to_pylist() if r["gradient"] is not None]
    assert kept == (list(range(0, 61, 10)) if window is None else [30, 40])


def test_a_run_that_never_groks_keeps_every_snapshot():
    gradients = dict.fromkeys((0, 10, 20), np.ones(8, np.float32))
    rows = rows_with([0.99] * 21)
    assert snapshots.grok_epoch(rows) is None
    kept = training.near_grokking(ModaddOptions(snapshot_window=5), rows, gradients)
    assert kept == gradients


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation": "relu"}, "is not an option of --task modadd"),
        ({"prime": 57}, "must be a prime"),
        ({"hidden": (30,)}, "multiple of the 4 heads"),
        ({"train_fraction": 1.0}, "between 0 and 1"),
        ({"weight_decay": -1.0}, "at least 0"),
        ({"model": "mpl"}, "mlp"),
        ({"split": "sim"}, "sym"),
    ],
)
def test_a_wrong_option_is_named(options, words):
    with pytest.raises(OptionError, match=words):
        run_options(task="modadd", **options)


def test_options_of_modular_addition_are_refused_for_xor():
    with pytest.raises(OptionError, match="prime is not an option of --task xor"):
        grokcrit.train(prime=59)


def test_weight_decay_makes_a_case_of_its_own_and_labels_do_not():
    plain, control = ModaddOptions(), ModaddOptions(weight_decay=0)
    assert plain.case != control.case
    assert dataclasses.replace(plain, seeds=2).case == plain.case


def test_the_gini_coefficient_is_that_of_its_definition():
    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    magnitudes = np.abs(values.astype(float))
    differences = np.abs(magnitudes[:, None] - magnitudes).sum()
    wanted = differences / (2 * 50 * 50 * magnitudes.mean())
    assert training.gini(values) == pytest.approx(wanted)


def test_the_transformer_asks_only_at_the_last_token():
    # The logits of a pair do not depend on which other pairs are asked for.
    options = ModaddOptions(prime=7)
    model, flat = Model(options, 8), torch.from_numpy(initial_parameters(options, 8, 0))
    a, b = torch.arange(7).repeat_interleave(7), torch.arange(7).repeat(7)
    whole, one = model.logits(flat, a, b), model.logits(flat, a[9:10], b[9:10])
    torch.testing.assert_close(whole[9:10], one)
