"""Options: their ranges, and the sentence for each that is wrong."""

import dataclasses
import json
import math

import numpy as np
import pytest

from grokcrit.base.errors import GrokcritError, OptionError, RunError, TableError
from grokcrit.base.options import CascadeOptions, Options, option, option_of, options_of
from grokcrit.base.stage_options import AvalancheOptions, EstimateOptions, FssOptions
from grokcrit.cli.command import by_name, parameter_of
from grokcrit.stages.avalanche import setups_of
from grokcrit.tasks import TASKS
from grokcrit.tasks.swept import SWEPT_TRAINING, TRAINED
from grokcrit.tasks.xor import TrainOptions, init_scale

BAD_CASCADE = [
    ("topology", "star"),
    ("topology", ""),
    ("degree", 0),
    ("degree", -6),
    ("degree", 6.0),
    ("degree", True),
    ("degree", 2**31),
    ("graph_seed", -1),
    ("graph_seed", 2**31),
    ("graph_seed", 0.5),
    ("alpha", 0),
    ("alpha", -0.1),
    ("alpha", 1.0000001),
    ("alpha", math.nan),
    ("alpha", math.inf),
    ("quantile", 100),
    ("quantile", -1e-9),
    ("quantile", math.nan),
    ("rule", "diffusion"),
    ("max_steps", 0),
    ("max_steps", -1),
    ("max_steps", 1.5),
    ("parameter_order", "random"),
]
BAD_TRAIN = [
    *BAD_CASCADE,
    ("task", "and"),
    ("hidden", ()),
    ("hidden", (20, 20)),
    ("hidden", (0,)),
    ("hidden", (20, -3)),
    ("hidden", (2.5,)),
    ("seeds", 0),
    ("seeds", True),
    ("epochs", -1),
    ("epochs", 1e3),
    ("snapshot_every", 0),
    ("lr", 0),
    ("lr", -0.5),
    ("lr", math.nan),
    ("lr", math.inf),
    ("activation", "gelu"),
    ("init", "zeros"),
    ("init", "normal:0"),
    ("init", "normal:-1"),
    ("init", "normal:1e999"),
    ("init", "normal:1e"),
    ("init", "normal:"),
    ("init", "he:2"),
    ("probe", "online"),
    ("gini_of", "weights"),
    ("seed", -1),
    ("seed", 2**63),
    ("label", ""),
    ("label", "  "),
]
BAD_AVALANCHE = [
    *[(name, value) for name, value in BAD_CASCADE if name != "parameter_order"],
    ("topology", ("ring", "ring")),
    ("topology", ()),
    ("alpha", (0.3, 2.0)),
    ("surrogate", "normal"),
    ("surrogate", ("none", "none")),
    ("surrogate", ()),
    ("replicates", 0),
    ("seed", -1),
]
BAD_ESTIMATE = [
    ("observable", "sizes"),
    ("observable", ()),
    ("observable", ("size", "size")),
    ("resamples", 0),
    ("resamples", 10.5),
    ("confidence", 0),
    ("confidence", 1),
    ("confidence", 95),
    ("confidence", math.nan),
    ("seed", -5),
]
EVERY = [
    *[(CascadeOptions, *bad) for bad in BAD_CASCADE],
    *[(TrainOptions, *bad) for bad in BAD_TRAIN],
    *[(AvalancheOptions, *bad) for bad in BAD_AVALANCHE],
    *[(EstimateOptions, *bad) for bad in BAD_ESTIMATE],
    *[(FssOptions, *bad) for bad in BAD_ESTIMATE],
]


@pytest.mark.parametrize(("kind", "name", "value"), EVERY)
def test_a_bad_value_raises_an_option_error_that_names_the_option(kind, name, value):
    with pytest.raises(OptionError) as caught:
        kind(**{name: value})
    assert caught.value.name == name
    assert str(caught.value) == f"{name} {caught.value.problem}"
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


GOOD = [
    (CascadeOptions, {"alpha": 1, "quantile": 0, "max_steps": 1, "degree": 1}),
    (CascadeOptions, {"quantile": 99.999999, "alpha": 1e-300, "rule": "reset"}),
    (TrainOptions, {"hidden": (1,), "seeds": 1, "epochs": 0, "snapshot_every": 1, "lr": 1e-9}),
    (TrainOptions, {"init": "normal:1e-3", "seed": 2**63 - 1, "label": "mine"}),
    (AvalancheOptions, {"topology": "ring", "alpha": (0.1, 0.5), "graph_seed": 3}),
    (AvalancheOptions, {"surrogate": ("none", "gaussian"), "replicates": 3}),
    (EstimateOptions, {"observable": "branching", "resamples": 1, "confidence": 0.5}),
]


@pytest.mark.parametrize(("kind", "values"), GOOD)
def test_the_ends_of_the_ranges_are_inside(kind, values):
    made = kind(**values)
    assert dataclasses.asdict(made).keys() >= values.keys()


def test_the_defaults_are_those_of_the_method():
    made = TrainOptions()
    assert made.hidden == (20, 30, 50, 75, 100, 200, 300, 500)
    assert (made.seeds, made.epochs, made.snapshot_every, made.lr) == (6, 500, 10, 0.5)
    assert (made.activation, made.init, made.probe) == ("tanh", "uniform", "inline")
    assert (made.topology, made.degree, made.graph_seed) == ("ba", 6, 0)
    assert (made.alpha, made.quantile, made.rule, made.max_steps) == (0.3, 90.0, "diffuse", 20)
    assert (made.parameter_order, made.gini_of, made.seed) == ("as-is", "output", 0)
    assert FssOptions().resamples == 2000
    assert EstimateOptions().resamples == 10_000
    assert EstimateOptions().confidence == 0.95


def test_whole_and_real_numbers_of_one_value_are_one_case():
    assert (
        TrainOptions(lr=1, quantile=90, alpha=1).case
        == TrainOptions(lr=1.0, quantile=90.0, alpha=1.0).case
    )


def test_the_case_depends_on_everything_but_width_seed_count_and_label():
    plain = TrainOptions()
    assert TrainOptions(hidden=(5,), seeds=2).case == plain.case
    for change in (
        {"alpha": 0.2},
        {"quantile": 80},
        {"topology": "ring"},
        {"degree": 4},
        {"graph_seed": 1},
        {"rule": "reset"},
        {"max_steps": 10},
        {"parameter_order": "shuffled"},
        {"epochs": 400},
        {"snapshot_every": 5},
        {"lr": 0.4},
        {"activation": "relu"},
        {"init": "he"},
        {"probe": "shadow"},
        {"gini_of": "all"},
        {"seed": 1},
    ):
        assert TrainOptions(**change).case != plain.case, change
    assert TrainOptions(label="mine", alpha=0.1).case == "mine"
    assert "label" not in plain.case_options
    assert plain.case_options["alpha"] == 0.3


def test_widths_are_put_in_order():
    assert TrainOptions(hidden=[30, 5, 20]).hidden == (5, 20, 30)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (TrainOptions, {"hidden": np.array([5, 8])}),
        (TrainOptions, {"hidden": tuple(np.arange(5, 7))}),
        (TrainOptions, {"seeds": np.int64(2), "seed": np.int64(3), "epochs": np.int32(4)}),
        (TrainOptions, {"graph_seed": np.int64(1), "degree": np.int64(4), "lr": np.float64(0.1)}),
        (AvalancheOptions, {"graph_seed": np.int64(1)}),
        (AvalancheOptions, {"graph_seed": np.arange(2), "alpha": np.array([0.1, 0.2])}),
        (AvalancheOptions, {"alpha": np.float32(0.25)}),
        (EstimateOptions, {"resamples": np.int64(10), "seed": np.int64(1)}),
    ],
)
def test_numbers_of_numpy_are_taken_as_plain_ones_and_can_be_recorded(kind, values):
    made = kind(**values)
    recorded = json.loads(json.dumps(dataclasses.asdict(made)))
    plain = {
        k: v.tolist() if hasattr(v, "tolist") else [int(x) for x in v] for k, v in values.items()
    }
    assert recorded == json.loads(json.dumps(dataclasses.asdict(kind(**plain))))


def test_one_width_alone_needs_no_list():
    assert TrainOptions(hidden=20).hidden == (20,)


def test_the_nearest_known_name_is_suggested_and_all_are_listed():
    with pytest.raises(OptionError, match="did you mean 'relu'") as caught:
        TrainOptions(activation="rel")
    assert "tanh, relu, sigmoid" in str(caught.value)
    with pytest.raises(OptionError) as caught:
        TrainOptions(activation="qqqq")
    assert "did you mean" not in str(caught.value)


def test_an_initialisation_is_split_into_name_and_sigma():
    assert init_scale("normal:0.25") == ("normal", 0.25)
    assert init_scale("normal") == ("normal", 1.0)
    assert init_scale("he") == ("he", 1.0)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("normal", "normal:1"),
        ("normal:1.0", "normal:1"),
        ("normal:0.50", "normal:0.5"),
        ("normal:1e-1", "normal:0.1"),
        ("normal:25", "normal:25"),
        ("he", "he"),
    ],
)
def test_an_initialisation_is_written_in_one_way(given, written):
    assert TrainOptions(init=given).init == written
    assert TrainOptions(init=written).init == written


def test_the_product_of_the_lists_is_computed_over_what_training_used():
    trained = TrainOptions(alpha=0.7, topology="ring", parameter_order="shuffled").case_options
    chosen = AvalancheOptions(
        quantile=(80, 95), graph_seed=(0, 4), surrogate=("none", "gaussian"), replicates=3
    )
    probes = setups_of(chosen, trained)
    assert len(probes) == 2 * 2 * (1 + 3)
    seen = {(p.cascade.quantile, p.cascade.graph_seed, p.surrogate, p.replicate) for p in probes}
    assert len(seen) == len(probes)
    assert {p.replicate for p in probes if p.surrogate == "none"} == {0}
    assert {p.replicate for p in probes if p.surrogate == "gaussian"} == {0, 1, 2}
    assert {p.cascade.alpha for p in probes} == {0.7}
    assert {p.cascade.topology for p in probes} == {"ring"}
    assert {p.cascade.parameter_order for p in probes} == {"shuffled"}


def test_every_error_is_of_the_packages_own_kind():
    for kind in (OptionError, TableError, RunError):
        assert issubclass(kind, GrokcritError)
    assert TableError("x").exit_code == RunError("x").exit_code == 1


# --- one declaration ----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parent(Options):
    count: int = option(3, "How many", least=2, most=9)
    share: float | None = option(None, "Which part", above=0, below=1, unset="all")


@dataclasses.dataclass(frozen=True)
class Child(Parent):
    count: int = 4
    shares: tuple[float, ...] = option_of(Parent, "share", (0.5,))
    kind: str = option("a", "Sort", choices=("a", "b"))


def test_a_field_with_another_default_is_declared_as_in_its_parent():
    known = options_of(Child)
    assert (known["count"].default, known["count"].most) == (4, 9)
    assert (known["shares"].many, known["shares"].kind, known["share"].optional) == (
        True,
        float,
        True,
    )
    assert Child(shares=0.25).shares == (0.25,)
    with pytest.raises(OptionError, match="count must be a whole number, from 2 to 9, got 10"):
        Child(count=10)
    with pytest.raises(OptionError, match="shares must be between 0 and 1, got 1"):
        Child(shares=(0.5, 1))


def test_the_command_line_takes_an_option_as_it_is_declared():
    names = by_name([Child])
    assert list(names) == ["count", "share", "shares", "kind"]
    helps = {
        name: parameter_of(each, 1).annotation.__metadata__[0].help for name, each in names.items()
    }
    assert helps["share"] == "Which part.  [default: all]"
    assert helps["shares"] == "Which part. Repeatable or a,b.  [default: 0.5]"
    assert helps["kind"] == "Sort: a, b.  [default: a]"


@pytest.mark.parametrize("task", TASKS)
def test_every_option_of_a_task_has_a_column_in_the_sweep_table(task):
    columns = {column.name for column in SWEPT_TRAINING}
    for name, declared in options_of(TASKS[task]).items():
        assert (name in columns or TRAINED + name in columns) == (declared.swept and name != "task")


def test_an_added_option_at_its_default_leaves_every_case_its_name():
    """Fault: tables made before and after an option was added have different cases."""

    @dataclasses.dataclass(frozen=True)
    class Later(TrainOptions):
        momentum: float = option(0.0, "Momentum", least=0, below=1, added=True)

    assert Later().case == TrainOptions().case
    assert Later(momentum=0.5).case != TrainOptions().case


@pytest.mark.parametrize("bad", ["no", 1, None, 0.0])
def test_a_truth_value_is_one(bad):
    """Fault: gradients="no" ends in an error of numpy, numpy's own False in one of JSON."""
    with pytest.raises(OptionError) as caught:
        TrainOptions(gradients=bad)
    assert caught.value.name == "gradients"
    assert TrainOptions(gradients=np.bool_(False)).gradients is False
