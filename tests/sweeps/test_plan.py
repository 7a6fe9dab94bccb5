"""Sweep files: what they mean, and the sentence for each thing that is wrong."""

import itertools

import pytest

from grokcrit.base.errors import GrokcritError, PlanError, TableError
from grokcrit.sweeps.plan import read_plan
from grokcrit.tables import provenance
from tests.sweeps.conftest import SMALL


def points(path, *names, seed=0):
    """The values of some options at every point, as (table, key)."""
    plan = read_plan(path, seed)
    return [tuple(p.configuration[table][key] for table, key in names) for p in plan.points]


def test_lists_are_axes_and_the_last_one_varies_fastest(write):
    path = write(
        "[train]\nactivation = ['relu', 'tanh']\nlr = [0.1, 1]\n[avalanche]\nalpha = [0.2, 0.4]\n"
    )
    found = points(path, ("train", "activation"), ("train", "lr"), ("avalanche", "alpha"))
    assert found == list(itertools.product(["relu", "tanh"], [0.1, 1.0], [0.2, 0.4]))


def test_a_file_that_varies_nothing_is_one_point_with_every_default(write):
    (point,) = read_plan(write("")).points
    assert point.training.hidden == (20, 30, 50, 75, 100, 200, 300, 500)
    assert point.configuration["avalanche"]["surrogate"] == ("none", "gaussian")
    assert point.configuration["fss"]["resamples"] == 2000


def test_what_the_cascade_is_not_told_is_as_in_training(write):
    path = write("[train]\nalpha = [0.1, 0.5]\nrule = 'reset'\n[avalanche]\nquantile = 80\n")
    names = [("avalanche", name) for name in ("alpha", "rule", "quantile")]
    assert points(path, *names) == [(0.1, "reset", 80.0), (0.5, "reset", 80.0)]
    assert points(path, ("train", "quantile")) == [(90.0,), (90.0,)]


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("{ from = 0.1, to = 0.5, step = 0.1 }", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("{ from = 0.1, to = 0.45, step = 0.1 }", [0.1, 0.2, 0.3, 0.4]),
        ("{ from = 0.2, to = 0.4, points = 3 }", [0.2, 0.3, 0.4]),
        ("{ from = 0.01, to = 1, points = 3, scale = 'log' }", [0.01, 0.1, 1.0]),
    ],
)
def test_a_range_of_numbers_is_the_values_a_person_means(write, written, values):
    found = points(write(f"[train]\nalpha = {written}\n"), ("train", "alpha"))
    assert [v for (v,) in found] == values


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("{ from = 0, to = 3 }", [0, 1, 2, 3]),
        ("{ from = 1, to = 7, step = 3 }", [1, 4, 7]),
        ("{ from = 0, to = 10, points = 3 }", [0, 5, 10]),
    ],
)
def test_a_range_of_whole_numbers_holds_whole_numbers(write, written, values):
    found = points(write(f"[train]\ngraph_seed = {written}\n"), ("train", "graph_seed"))
    assert [v for (v,) in found] == values
    assert all(type(v) is int for (v,) in found)


def test_an_option_that_is_a_list_is_an_axis_of_lists(write):
    path = write("[train]\nhidden = [[8, 16, 32], [64, 16, 32]]\n")
    assert points(path, ("train", "hidden")) == [((8, 16, 32),), ((16, 32, 64),)]


def test_hyphens_and_underscores_name_the_same_option(write):
    assert points(write("[train]\nsnapshot-every = 5\n"), ("train", "snapshot_every")) == [(5,)]


def test_a_file_may_begin_with_the_mark_of_its_encoding(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\nlr = 0.25\n")
    assert points(path, ("train", "lr")) == [(0.25,)]


def test_width_is_another_name_of_hidden_as_on_the_command_line(write):
    assert points(write("[train]\nwidth = [[4, 6, 8]]\n"), ("train", "hidden")) == [((4, 6, 8),)]


def test_the_seed_of_the_command_line_is_that_of_what_the_file_gives_none_for(write):
    path = write("[avalanche]\nseed = 3\n")
    names = ("train", "seed"), ("avalanche", "seed"), ("fss", "seed")
    assert points(path, *names, seed=9) == [(9, 3, 9)]


SAMPLED = """
[train]
lr = { from = 0.01, to = 1, scale = "log" }
alpha = { from = 0.1, to = 0.5 }
activation = ["tanh", "relu", "sigmoid"]
[sample]
"""


def test_a_sample_has_as_many_points_as_asked_for_inside_the_ranges(write):
    names = ("train", "lr"), ("train", "alpha"), ("train", "activation")
    found = points(write(SAMPLED + "points = 40\n"), *names)
    assert len(set(found)) == len(found) == 40
    assert all(0.01 <= lr <= 1 and 0.1 <= alpha <= 0.5 for lr, alpha, _ in found)
    assert {activation for *_, activation in found} == {"tanh", "relu", "sigmoid"}
    # Half of the draws of a logarithmic range lie below its geometric middle, 0.1: 20 of 40, and
    # beyond 8 and 32 once in 10,000 samples.
    assert 8 < sum(lr < 0.1 for lr, *_ in found) < 32


def test_a_larger_sample_begins_with_the_smaller_one(write):
    keys = [[p.key for p in read_plan(write(SAMPLED + f"points = {n}\n")).points] for n in (10, 25)]
    assert keys[1][:10] == keys[0]


def test_what_else_the_file_says_and_in_which_order_changes_no_draw(write):
    one = write(
        "[train]\nlr = { from = 0.1, to = 1 }\nalpha = { from = 0.1, to = 0.5 }\n"
        "[sample]\npoints = 8\n"
    )
    other = write(
        "[sample]\npoints = 8\n[avalanche]\nseed = 0\n[train]\nepochs = 500\n"
        "alpha = { from = 0.1, to = 0.5 }\nlr = { from = 0.1, to = 1 }\n",
        "other.toml",
    )
    assert [p.key for p in read_plan(one).points] == [p.key for p in read_plan(other).points]


def test_another_seed_draws_another_sample(write):
    one, other = (
        {p.key for p in read_plan(write(SAMPLED + f"points = 10\nseed = {k}\n")).points}
        for k in (0, 1)
    )
    assert not one & other


def test_a_sample_of_a_small_grid_can_have_all_of_it_and_no_more(write):
    grid = "[train]\nlr = [0.1, 0.2]\nactivation = ['tanh', 'relu']\n[sample]\npoints = "
    assert len({p.key for p in read_plan(write(grid + "4\n")).points}) == 4
    with pytest.raises(PlanError, match="only 4 that differ"):
        read_plan(write(grid + "5\n"))


def test_the_key_of_a_point_is_of_its_options_not_of_how_they_are_written(write):
    one = read_plan(write("[train]\nlr = [0.5, 1]\nalpha = 0.3\n"))
    other = read_plan(write("[avalanche]\nalpha = 0.3\n[train]\nlr = 1.0\nepochs = 500\n"))
    assert one.points[1].key == other.points[0].key
    assert one.points[0].key != other.points[0].key


def test_the_key_of_a_point_changes_with_the_code(write, monkeypatch):
    path = write(SMALL)
    before = [p.key for p in read_plan(path).points]
    monkeypatch.setattr(provenance, "code_version", lambda: "another")
    assert not set(before) & {p.key for p in read_plan(path).points}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[trian]\n", "no table [trian]; did you mean 'train'?"),
        ("lr = 0.5\n", "no table [lr]; put lr under [train]"),
        ("train = 3\n", "train must be a table, [train]"),
        ("[train]\nactivaton = 'tanh'\n", "did you mean 'activation'?"),
        ("[train]\nlabel = 'a'\n", "[train] label is no option of a sweep"),
        ("[avalanche]\nlr = 0.5\n", "[avalanche] lr is no option of a sweep"),
        ("[train]\nactivation = ['tanh', 'rleu']\n", "did you mean 'relu'?"),
        ("[train]\nlr = [0.5, -1]\n", "[train] lr must be above 0, got -1"),
        ("[train]\nlr = 'fast'\n", "[train] lr must be a number, got 'fast'"),
        ("[train]\nlr = true\n", "[train] lr must be a number, got True"),
        ("[train]\nlr = nan\n", "[train] lr must be above 0, got nan"),
        ("[train]\nlr = 1e200\n", "[train] lr must be at most 1e+150 in size"),
        ("[train]\nlr = 1" + "0" * 400 + "\n", "[train] lr must be at most 1e+150 in size"),
        ("[train]\nlr = [0.5, inf]\n", "[train] lr must be at most 1e+150 in size, got inf"),
        ("[train]\nseeds = 2.5\n", "[train] seeds must be a whole number, got 2.5"),
        ("[train]\nlr = []\n", "[train] lr is an empty list"),
        ("[train]\nlr = [[0.5]]\n", "[train] lr must be a number, got a list"),
        ("[train]\nlr = [0.5, 0.5]\n", "the same point is there twice"),
        ("[train]\nhidden = [8, 16, 32]\n", "[train] hidden takes lists, each a value"),
        ("[train]\nhidden = [[8, 16]]\n", "at least 3 sizes for a fit, got [8, 16]"),
        ("[train]\nhidden = [[8, 16, 'x']]\n", "[train] hidden"),
        ("[train]\nlr = { from = 1, to = 0.5, step = 0.1 }\n", "a larger 'to'"),
        ("[train]\nlr = { from = 0.1, to = 0.5 }\n", "needs step or points"),
        ("[train]\nlr = { from = 0.1, to = 0.5, stepp = 1 }\n", "did you mean 'step'?"),
        ("[train]\nlr = { from = 0, to = 1, points = 3, scale = 'log' }\n", "log from above 0"),
        ("[train]\nlr = { from = 0.1, to = 1, step = 1e-9 }\n", "2 to 100000 values"),
        ("[train]\nlr = { from = 1e-140, to = 1e140, step = 1e-149 }\n", "this one has more"),
        ("[train]\nlr = { from = 0.1, to = 0.3, step = 5 }\n", "this one has one"),
        ("[train]\nlr = { from = 1, to = 1" + "0" * 400 + ", points = 3 }\n", "at most 1e+150"),
        ("[train]\nepochs = { from = 60, to = 70, step = 2.5 }\n", "must be a whole number"),
        ("[train]\nepochs = { from = 60.7, to = 63.2 }\n", "must be a whole number"),
        ("[train]\nepochs = { from = 60, to = 61, points = 5 }\n", "must be a whole number"),
        ("[train]\nlr = 1" + "0" * 5000 + "\n", "is not TOML"),
        (
            "[train]\nsnapshot-every = 5\nsnapshot_every = 10\n",
            "[train] snapshot_every is there twice, the second time as snapshot_every",
        ),
        (
            "[train]\nhidden = [[4, 6, 8]]\nwidth = [[4, 6, 9]]\n",
            "[train] hidden is there twice, the second time as width",
        ),
        ('[train]\ninit = ["normal:0.5", "normal:0.50"]\n', "the same point is there twice"),
        ("[train]\ndegree = 1000\nhidden = [[4, 6, 8]]\n", "[train] degree must lie in 1 to N"),
        ("[avalanche]\ndegree = [6, 400]\n", "[avalanche] degree must lie in 1 to N - 1 = 80"),
        ("[train]\nhidden = [[4, 6, 2000000000]]\n", "[train] snapshot_every keeps more than"),
        ("[train]\ntopology = ['ba', 'lattice']\ndegree = [2, 4]\n", "does not change a lattice"),
        ("[avalanche]\nsurrogate = [['none'], ['none', 'gaussian']]\n", "takes one list"),
        ("[sample]\npoints = 1000000000\n", "more than 1000000 points"),
        (
            "[train]\n"
            + "".join(
                f"{name} = {{ from = 0.1, to = 0.9, points = 1000 }}\n"
                for name in ("lr", "alpha", "quantile")
            ),
            "more than 1000000 points",
        ),
        ("[train]\nlr = { from = 0.1, to = 1, points = 1 }\n", "at least 2"),
        ("[train]\nactivation = { from = 1, to = 2 }\n", "not a range"),
        ("[train]\ntask = ['xor', 'modadd']\ninit = 'he'\n", "not an option of --task modadd"),
        ("[train]\ntask = 'xo'\n", "did you mean 'xor'?"),
        ("[avalanche]\nalpha = [0.3, 1.5]\n", "[avalanche] alpha must be above 0 and at most 1"),
        ("[avalanche]\nsurrogate = ['none', 'gaussian']\n", "takes lists, each a value"),
        ("[avalanche]\nsurrogate = [['gaussian']]\n", "must include 'none'"),
        ("[fss]\nresamples = 0\n", "[fss] resamples must be a whole number, at least 1"),
        ("[fss]\nobservable = 'sise'\n", "did you mean 'size'?"),
        ("[fss]\nobservable = 3\n", "[fss] observable"),
        ("[sample]\n", "[sample] needs points"),
        ("[sample]\npoints = 0\n", "[sample] points must be a whole number, at least 1"),
        ("[sample]\npoints = 3\nsed = 1\n", "did you mean 'seed'?"),
        ("[train\n", "is not TOML"),
        ("[train]\nlr = " + "[" * 5000 + "]" * 5000 + "\n", ""),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_that_names_the_file(write, text, said):
    path = write(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(TableError, match="cannot read .*none.toml: No such file"):
        read_plan(tmp_path / "none.toml")
    with pytest.raises(TableError, match="Is a directory"):
        read_plan(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GrokcritError, match="is not TOML"):
        read_plan(tmp_path / "bytes.toml")
