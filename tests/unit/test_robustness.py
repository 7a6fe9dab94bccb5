"""The robustness grid: the same numbers as the stages give, and what is summed up of them."""

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import EmptyError, OptionError
from grokcrit.stages.robustness import robustness_summary
from grokcrit.tables.schemas import DIAGNOSTICS

GRID = {
    "topology": ("ba", "ring"),
    "graph_seeds": 2,
    "alpha": (0.1, 0.3),
    "quantile": (80, 90),
    "observable": "size",
    "resamples": 50,
}


@pytest.fixture(scope="module")
def made(trained):
    return grokcrit.robustness(trained, **GRID)


def rows_of(table, **wanted):
    return [r for r in table.to_pylist() if all(r[k] == v for k, v in wanted.items())]


@pytest.mark.parametrize(
    ("axis", "options"),
    [
        ("topology", {"topology": "ring", "graph_seed": 1}),
        ("alpha", {"alpha": 0.1}),
        ("quantile", {"quantile": 80}),
        ("rule", {"rule": "reset"}),
        ("parameter order shuffled", {"parameter_order": "shuffled", "graph_seed": 1}),
    ],
)
def test_a_point_of_the_grid_is_what_avalanche_and_fss_make_of_it(trained, made, axis, options):
    cascades = grokcrit.avalanche(trained, surrogate=("none", "gaussian"), **options)
    fits = grokcrit.fss(cascades, observable="size", resamples=50)
    place = {k: v for k, v in options.items() if k != "parameter_order"}
    for fit in rows_of(fits, time=None):
        if fit["statistic"] == "max" or fit["window"] == "ungrokked":
            continue
        shared = {k: fit[k] for k in ("surrogate", "statistic", "window")}
        (found,) = rows_of(made, quantity="exponent", part=axis, **place, **shared)
        for name, other in (("value", "exponent"), ("ci_low", "ci_low"), ("ci_high", "ci_high")):
            assert found[name] == fit[other] or found[name] == pytest.approx(fit[other])


def test_shuffling_the_parameters_changes_the_data(made):
    place = {"quantity": "exponent", "surrogate": "none", "window": "post", "statistic": "mean"}
    plain, shuffled = (
        [r["value"] for r in rows_of(made, part=f"parameter order {order}", **place)]
        for order in ("as-is", "shuffled")
    )
    assert len(plain) == len(shuffled) == 2
    assert not set(plain) & set(shuffled)


def test_spread_cv_and_errors_are_those_of_the_points(made):
    place = {"surrogate": "none", "window": "post", "statistic": "mean"}
    for axis, count in (("topology", 4), ("alpha", 2), ("quantile", 2), ("rule", 2)):
        points = [r["value"] for r in rows_of(made, quantity="exponent", part=axis, **place)]
        assert len(points) == count
        (spread,) = rows_of(made, quantity="spread", part=axis, **place)
        assert spread["value"] == pytest.approx(np.mean(points))
        assert (spread["ci_low"], spread["ci_high"]) == (min(points), max(points))
        (cv,) = rows_of(made, quantity="cv", part=axis, **place)
        assert cv["value"] == pytest.approx(np.std(points, ddof=1) / np.mean(points))
    own = rows_of(made, quantity="exponent", part="topology", topology="ba", **place)
    (graphs,) = rows_of(
        made, quantity="error-between-graphs", part="topology", topology="ba", **place
    )
    assert graphs["value"] == pytest.approx(np.std([r["value"] for r in own], ddof=1))
    (ring,) = rows_of(
        made, quantity="error-between-graphs", part="topology", topology="ring", **place
    )
    assert ring["value"] == 0  # a ring has no seed


def test_threads_change_no_bit(trained, made):
    again = grokcrit.robustness(trained, threads=1, **GRID)
    assert again.replace_schema_metadata().equals(made.replace_schema_metadata())
    assert made.schema.equals(DIAGNOSTICS.arrow)


def test_the_account_names_every_axis_and_value(made):
    summary = robustness_summary(made)
    named = {(r["axis"], r["value"]) for r in summary.rows}
    assert named == {
        *(("topology", t) for t in ("ba", "ring")),
        *(("alpha", a) for a in ("0.1", "0.3")),
        *(("quantile", q) for q in ("80", "90")),
        *(("rule", r) for r in ("diffuse", "reset")),
        *(("parameter order", o) for o in ("as-is", "shuffled")),
    }


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"topology": "rings"}, "topology"),
        ({"graph_seeds": 0}, "graph_seeds"),
        ({"alpha": 0}, "alpha"),
        ({"quantile": 100}, "quantile"),
        ({"alpha": (0.1, 0.1)}, "alpha"),
    ],
)
def test_an_option_out_of_its_range_is_refused(trained, bad, name):
    with pytest.raises(OptionError) as caught:
        grokcrit.robustness(trained, **{**GRID, **bad})
    assert caught.value.name == name


def test_a_table_without_gradients_is_refused():
    bare = grokcrit.train(hidden=(3, 5, 8), seeds=2, epochs=20, gradients=False)
    assert bare["gradient"].null_count == bare.num_rows
    with pytest.raises(EmptyError):
        grokcrit.robustness(bare, **GRID)


def test_training_without_gradients_changes_nothing_else():
    options = {"hidden": (3, 5), "seeds": 2, "epochs": 40}
    plain, bare = (grokcrit.train(**options, gradients=g) for g in (True, False))
    names = [n for n in plain.column_names if n != "gradient"]
    assert (
        bare.select(names)
        .replace_schema_metadata()
        .equals(plain.select(names).replace_schema_metadata())
    )
