"""The plot stage: what is drawn equals the tables; what cannot be drawn is said in a sentence."""

import json
import subprocess
import sys

import matplotlib as mpl
import naive
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from scipy import stats

import grokcrit
import grokcrit.stages.plot as stage
from grokcrit.base.errors import OptionError, TableError
from grokcrit.plot import NAMES, style
from grokcrit.plot.sources import Request, Sources, rows
from grokcrit.questions import collapse
from grokcrit.scaling import ensembles as scaling
from tests.sweeps.made import swept
from tests.unit import synthetic
from tests.unit.signals import small

ALL = NAMES
STAGES = ("train", "avalanche", "fss", "bootstrap", "diagnostics", "sweep")
QUICK = {"resamples": 50, "permutations": 20, "gof": 1, "observable": "size", "splits": (20, 50)}


def stages(**options):
    """The tables of a small experiment, by stage, and of a sweep around it."""
    trained = grokcrit.train(**options)
    cascaded = grokcrit.avalanche(trained, surrogate=("none", "gaussian", "permute"))
    fitted = grokcrit.fss(cascaded, resamples=50, observable="size")
    resampled = grokcrit.bootstrap(cascaded, resamples=50, observable="size")
    asked = grokcrit.diagnose([cascaded, trained], **QUICK)
    made = (trained, cascaded, fitted, resampled, asked, sweep_of(**options))
    return dict(zip(STAGES, made, strict=True))


def sweep_of(hidden, seeds, epochs):
    """The table of a sweep over learning rates and rules."""
    return swept(
        f"[train]\nhidden = [{list(hidden)}]\nseeds = {seeds}\nepochs = {epochs}\n"
        "lr = [0.5, 1.0]\n[avalanche]\nrule = ['diffuse', 'reset']\n[fss]\nresamples = 50\n"
    )


def given(tables, name):
    """The tables for a figure: of the stages, but for the grid and for nulls told from the data."""
    if name == "kept":
        rows = tables["avalanche"].to_pylist()
        rows = [
            r | ({"size": int(10 * r["n_params"] ** 0.5)} if r["surrogate"] == "gaussian" else {})
            for r in rows
        ]
        cascaded = synthetic.table(rows)
        return [grokcrit.diagnose(cascaded, **QUICK, only="nulls")]
    if name.startswith("controls"):
        rows = [r for r in tables["avalanche"].to_pylist() if r["surrogate"] == "none"]
        control = [
            r | {"case": "control", "grok_epoch": None, "size": r["n_params"] // 5} for r in rows
        ]
        rows = [r | {"memorise_epoch": 20} for r in rows]
        return [grokcrit.diagnose(synthetic.table(rows + control), **QUICK, only="controls")]
    if name == "warn":
        return [grokcrit.warn(small(), resamples=50)]
    if name != "robustness":
        return [tables[s] for s in STAGES]
    grid = {"topology": ("ba", "ring"), "graph_seeds": 2, "alpha": (0.3,), "quantile": (90,)}
    return [grokcrit.robustness(tables["train"], resamples=20, observable="size", **grid)]


@pytest.fixture(scope="module")
def tables():
    """Most runs grok; none of them in its first epochs."""
    return stages(hidden=(8, 16, 32, 64), seeds=3, epochs=150)


@pytest.fixture(scope="module")
def smoke():
    """No run groks: the phases are empty, their exponents null."""
    return stages(hidden=(4, 8, 16), seeds=2, epochs=40)


def lines(ax, label):
    """The one line of that label."""
    (found,) = [line for line in ax.get_lines() if line.get_label() == label]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def words(figure):
    """Everything written in a figure."""
    texts = []
    for ax in figure.axes:
        texts += [t.get_text() for t in ax.texts]
        if ax.get_legend():
            texts += [ax.get_legend().get_title().get_text()]
            texts += [t.get_text() for t in ax.get_legend().get_texts()]
    return "\n".join(texts)


def changed(table, name, values):
    """The table with another column of that name."""
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


def fits(tables, **equal):
    """Rows of the fss table as dicts, by time."""
    wanted = {"observable": "size", "statistic": "mean", "surrogate": "none", **equal}
    found = [
        row
        for row in tables["fss"].to_pylist()
        if all(row[name] == value for name, value in wanted.items())
    ]
    return sorted(found, key=lambda row: row["time"] or 0)


# Every figure


CONTROLS = tuple(name for name in ALL if name.startswith("controls"))
DENSITY = ("density", "density-before", "density-after")
# A collapse needs more avalanches than these few runs have.
NEED_MORE = ("grokking", "kept", "placebos", "crossings", "collapses", *DENSITY, *CONTROLS)


@pytest.mark.parametrize("name", [n for n in ALL if n not in NEED_MORE])
def test_every_figure_that_needs_no_more_is_drawn_where_no_run_grokked(smoke, name):
    stage.figure(name, given(smoke, name)).draw_without_rendering()


@pytest.mark.parametrize("name", NEED_MORE)
def test_a_figure_that_needs_more_says_so_where_no_run_grokked(smoke, name):
    with pytest.raises(TableError):
        stage.figure(name, list(smoke.values()))


def test_a_panel_without_data_says_so_in_words_inside_a_figure(smoke):
    assert "none of the 6 runs grokked" in words(stage.figure("fig1", list(smoke.values())))


def test_a_panel_without_data_alone_is_an_error(smoke):
    with pytest.raises(TableError, match="none of the 6 runs grokked"):
        stage.figure("grokking", smoke["train"])


@pytest.mark.parametrize("name", ["fig1", "fig2", "fig3"])
def test_the_panels_of_a_figure_are_lettered(tables, name):
    figure = stage.figure(name, list(tables.values()))
    panels = 4 if name == "fig1" else 3
    letters = [f"({letter})" for letter in "abcd"]
    found = sorted(t for t in words(figure).split("\n") if t in letters)
    assert found == letters[:panels]


@pytest.mark.parametrize(("name", "wide"), [("dimension", 3.375), ("fig2", 7.0)])
def test_figures_are_one_or_two_columns_wide(tables, name, wide):
    assert stage.figure(name, list(tables.values())).get_figwidth() == wide


@pytest.mark.parametrize("name", ALL)
def test_every_figure_is_drawn_and_nothing_reaches_over_its_edge_or_another_panel(tables, name):
    figure = stage.figure(name, given(tables, name))
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    boxes = []
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert inside.containsx(box.x0)
        assert inside.containsx(box.x1)
        assert inside.containsy(box.y0)
        assert inside.containsy(box.y1)
        if ax.get_legend() or ax.texts:  # a second axis lies in the place of the first
            boxes.append(box.padded(-1))
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])


# What is drawn


def test_the_curve_of_dimension_is_the_exponents_of_the_fss_table(tables):
    x, y = lines(stage.figure("dimension", tables["fss"]).axes[0], "data")
    rows = fits(tables, window="epoch")
    np.testing.assert_array_equal(x, [row["time"] for row in rows])
    np.testing.assert_array_equal(y, [row["exponent"] for row in rows])


@pytest.mark.parametrize("statistic", ["mean", "run-max", "max"])
def test_the_null_of_dimension_is_the_gaussian_rows_of_the_same_statistic(tables, statistic):
    figure = stage.figure("dimension", tables["fss"], statistic=statistic)
    _, y = lines(figure.axes[0], "Gaussian null")
    rows = fits(tables, window="epoch", statistic=statistic, surrogate="gaussian")
    np.testing.assert_array_equal(y, [row["exponent"] for row in rows])
    assert f"({statistic} size)" in figure.axes[0].get_ylabel()


def test_the_band_of_dimension_is_the_interval_of_the_fss_table(tables):
    ax = stage.figure("dimension", tables["fss"]).axes[0]
    band = ax.collections[0].get_paths()[0].vertices
    rows = fits(tables, window="epoch")
    for row in rows:
        heights = band[band[:, 0] == row["time"], 1]
        assert {row["ci_low"], row["ci_high"]} <= set(heights)


def test_a_null_exponent_is_a_gap_in_the_curve(tables):
    fitted = tables["fss"]
    gone = pc.and_(pc.equal(fitted["window"], "epoch"), pc.equal(fitted["time"], 50))
    gone = pc.fill_null(gone, False).to_pylist()
    for name in ("exponent", "ci_low", "ci_high"):
        kept = fitted[name].to_pylist()
        fitted = changed(fitted, name, [None if g else v for g, v in zip(gone, kept, strict=True)])
    ax = stage.figure("dimension", fitted).axes[0]
    x, y = lines(ax, "data")
    np.testing.assert_array_equal(x[np.isnan(y)], [50])
    assert all(50 not in path.vertices[:, 0] for path in ax.collections[0].get_paths())


def test_an_aligned_bin_without_a_row_is_a_gap_and_bins_are_drawn_at_their_middle(tables):
    fitted = tables["fss"]
    drawn = pc.and_(pc.equal(fitted["window"], "aligned"), pc.is_valid(fitted["exponent"]))
    times = sorted(set(fitted.filter(drawn)["time"].to_pylist()))
    hole = times[len(times) // 2]
    lacking = pc.fill_null(pc.equal(fitted["time"], hole), False)
    aligned = pc.equal(fitted["window"], "aligned")
    fitted = fitted.filter(pc.invert(pc.and_(aligned, lacking)))
    x, y = lines(stage.figure("dimension", fitted, aligned=True).axes[0], "data")
    assert (x[0], x[-1]) == (times[0] + 5, times[-1] + 5)
    assert np.isnan(y[x == hole + 5]).all()
    found = dict(zip(x - 5, y, strict=True))
    for row in fits(tables, window="aligned"):
        if row["exponent"] is not None and row["time"] != hole:
            assert found[row["time"]] == row["exponent"]


@pytest.mark.parametrize("source", ["train", "avalanche"])
def test_the_grokking_window_comes_from_the_train_or_the_avalanche_table(tables, source):
    given = stage.figure("dimension", [tables["fss"], tables[source]])
    grok = set(tables["train"]["grok_epoch"].drop_null().to_pylist())
    assert f"grokking, {min(grok)} to {max(grok)}" in words(given)


def test_without_grokking_epochs_the_legend_does_not_claim_them(tables, smoke):
    assert "grokking" not in words(stage.figure("dimension", tables["fss"]))
    assert "grokking" not in words(stage.figure("dimension", [smoke["fss"], smoke["train"]]))


def test_without_a_baseline_the_legend_does_not_claim_one(tables):
    alone = tables["fss"].filter(pc.equal(tables["fss"]["surrogate"], "none"))
    assert "null" not in words(stage.figure("dimension", alone))


def test_nulls_draws_every_surrogate_of_the_table(tables):
    fitted = tables["fss"]
    null = fitted.filter(pc.equal(fitted["surrogate"], "gaussian"))
    more = [changed(null, "surrogate", [name] * len(null)) for name in ("gaussianize", "sign-flip")]
    ax = stage.figure("nulls", pa.concat_tables([fitted, *more])).axes[0]
    rows = fits(tables, window="epoch", surrogate="gaussian")
    for name in ("Gaussian null", "gaussianize", "sign-flip"):
        np.testing.assert_array_equal(lines(ax, name)[1], [row["exponent"] for row in rows])


def test_nulls_without_surrogates_says_how_to_add_them(tables):
    alone = tables["fss"].filter(pc.equal(tables["fss"]["surrogate"], "none"))
    with pytest.raises(TableError, match="grokcrit avalanche --surrogate none,gaussian"):
        stage.figure("nulls", alone)


def test_the_ccdf_is_the_share_of_avalanches_at_least_as_large(tables):
    ax = stage.figure("ccdf", tables["avalanche"]).axes[0]
    rows = [r for r in tables["avalanche"].to_pylist() if r["surrogate"] == "none"]
    for n in {r["n_params"] for r in rows}:
        sizes = [r["size"] for r in rows if r["n_params"] == n]
        x, y = lines(ax, str(n))
        assert sorted(set(x)) == sorted({s for s in sizes if s > 0})
        for s, p in zip(x, y, strict=True):
            assert p == pytest.approx(sum(size >= s for size in sizes) / len(sizes), abs=1e-15)


def test_the_collapse_divides_by_n_to_the_exponent_of_the_largest(tables):
    both = [tables["avalanche"], tables["fss"]]
    (row,) = fits(tables, window="aggregate", statistic="max")
    straight, rescaled = (stage.figure(n, both).axes[0] for n in ("ccdf", "collapse"))
    for n in (33, 65, 129, 257):
        x, y = lines(straight, str(n))
        scaled, same = lines(rescaled, str(n))
        np.testing.assert_allclose(scaled, x / n ** row["exponent"], rtol=1e-14)
        np.testing.assert_array_equal(y, same)
    assert f"{row['exponent']:.3f}" in words(rescaled.figure)
    assert "max size" in words(rescaled.figure)


def test_collapses_draw_the_share_above_each_value_rescaled(tables):
    (data,) = scaling.ensembles(rows(tables["avalanche"], surrogate="none"))
    alone = {"value": 1.25, "ci_low": 1.0, "ci_high": 1.5}
    both = [{"value": each, "ci_low": None, "ci_high": None} for each in (0.75, 0.5)]
    given = [
        (collapse.told("D alone", [alone], {"value": 2.34, "p": 0.03}), [1.25]),
        (collapse.told("D and beta", both, {"value": None, "p": None}), [0.75, 0.5]),
    ]
    with style.context():
        axes = Figure().subplots(1, 2)
        collapse.draw(list(axes), data, "size", "post", given)
    wanted = [r for r in tables["avalanche"].to_pylist() if r["surrogate"] == "none"]
    wanted = naive.in_window(wanted, "post")
    for ax, (_, exponents) in zip(axes, given, strict=True):
        exponent, beta = (*exponents, 0.0)[:2]
        assert f"D = {exponent:.3f}" in words(ax.figure)
        for n in (33, 65, 129, 257):
            x, y = lines(ax, str(n))
            runs = naive.by_run([r for r in wanted if r["n_params"] == n], "size").values()
            s = sorted({v for values in runs for v in values})
            np.testing.assert_allclose(x[1:], np.array(s) / n**exponent, rtol=1e-12)
            p = [np.mean([np.mean([v > t for v in values]) for values in runs]) for t in s]
            assert y[0] == n**beta
            p = np.where(np.array(p) > 0, p, np.nan) * n**beta
            np.testing.assert_allclose(y[1:], p, rtol=1e-12)
    assert "S = 2.34" in words(axes[0].figure)


def test_quiet_avalanches_count_but_are_not_drawn_at_zero(tables):
    rows = tables["avalanche"].to_pylist()
    smallest = [row for row in rows if row["width"] == 8]
    for row in smallest[::2]:
        row["size"] = 0
    x, y = lines(stage.figure("ccdf", synthetic.table(rows)).axes[0], "33")
    assert x.min() > 0
    assert y.max() == pytest.approx(0.5, abs=0.05)


def test_the_points_of_scaling_lie_on_the_fitted_lines_of_the_fss_table(tables):
    ax = stage.figure("scaling", [tables["avalanche"], tables["fss"]]).axes[0]
    points = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    drawn = [(s, k) for s in ("none", "gaussian") for k in ("max", "mean")]
    assert len(points) == len(drawn)
    for line, (surrogate, statistic) in zip(points, drawn, strict=True):
        (row,) = fits(tables, window="aggregate", statistic=statistic, surrogate=surrogate)
        slope, intercept = np.polyfit(np.log(line.get_xdata()), np.log(line.get_ydata()), 1)
        assert slope == pytest.approx(row["exponent"], abs=1e-9)
        assert intercept == pytest.approx(row["intercept"], abs=1e-9)


def test_the_bars_of_the_bootstrap_are_its_corrected_intervals(tables):
    ax = stage.figure("bootstrap", tables["bootstrap"], statistic="run-max").axes[0]
    for row in tables["bootstrap"].to_pylist():
        if row["surrogate"] != "none" or row["statistic"] != "run-max" or row["part"]:
            continue
        if row["kind"] == "estimate" and row["window"] == "aggregate":
            assert lines(ax, "aggregate")[0].tolist() == [row["exponent"]]
        if row["method"] == "expanded percentile" and row["window"] == "aggregate":
            ends = [row["ci_low"], row["ci_high"]]
            assert any(list(line.get_xdata()) == ends for line in ax.get_lines())


def test_a_density_is_where_the_draws_are(tables):
    ax = stage.figure("bootstrap", tables["bootstrap"]).axes[0]
    curves = [line for line in ax.get_lines() if len(line.get_xdata()) > 100]
    (draws,) = (
        row["draws"]
        for row in tables["bootstrap"].to_pylist()
        if row["kind"] == "draws"
        and row["surrogate"] == "none"
        and row["statistic"] == "mean"
        and row["window"] == "aggregate"
    )
    x, y = curves[-1].get_data()  # aggregate is drawn last
    wanted = stats.gaussian_kde(draws)(x)
    np.testing.assert_allclose(y, wanted / wanted.max(), atol=1e-3)
    assert y.max() == 1


def test_leave_one_out_shows_each_size_each_seed_and_each_part_of_the_training(tables):
    ax = stage.figure("leave-one-out", tables["bootstrap"]).axes[0]
    named = [t.get_text() for t in ax.get_xticklabels()]
    assert named[:7] == ["33", "65", "129", "257", "0", "1", "2"]
    epochs = sorted(set(tables["avalanche"]["epoch"].to_pylist()))
    assert named[7:] == [str(part[0]) for part in np.array_split(epochs, 10)]
    wanted = {
        row["exponent"]
        for row in tables["bootstrap"].to_pylist()
        if row["kind"] == "leave-one-out"
        and row["window"] == "aggregate"
        and row["surrogate"] == "none"
        and row["statistic"] == "mean"
    }
    assert set(lines(ax, "aggregate")[1]) == wanted


def test_the_trajectory_is_the_run_asked_for(tables):
    figure = stage.figure("trajectory", tables["train"], width=32, run=1)
    rows = [r for r in tables["train"].to_pylist() if (r["width"], r["seed"]) == (32, 1)]
    _, y = lines(figure.axes[0], "accuracy")
    np.testing.assert_array_equal(y, [r["train_accuracy"] for r in rows])
    _, loss = lines(figure.axes[1], "loss")
    np.testing.assert_array_equal(loss, [r["loss"] for r in rows])
    assert "129" in words(figure)
    assert "seed 1" in words(figure)


def test_the_trajectory_is_that_of_the_middle_width_where_none_is_asked_for(tables):
    assert "$h$ = 32, $N$ = 129, seed 0" in words(stage.figure("trajectory", tables["train"]))


def test_the_trajectory_is_that_of_the_first_seed_there_is_where_none_is_asked_for(tables):
    later = changed(tables["train"], "seed", tables["train"]["seed"].to_numpy() + 3)
    assert "seed 3" in words(stage.figure("trajectory", later))


def test_the_trajectory_shows_test_accuracy_where_it_differs(tables):
    other = tables["train"]["train_accuracy"].to_numpy() / 2
    figure = stage.figure("trajectory", changed(tables["train"], "test_accuracy", other))
    assert "test accuracy" in words(figure)
    assert "test accuracy" not in words(stage.figure("trajectory", tables["train"]))


def test_every_grokking_epoch_is_a_dot_beside_its_size(tables):
    x, y = lines(stage.figure("grokking", tables["train"]).axes[0], "sustained")
    first_rows = [r for r in tables["train"].to_pylist() if r["epoch"] == 0]
    wanted = [(r["n_params"], r["grok_epoch"]) for r in first_rows]
    assert [int(v) for v in y if np.isfinite(v)] == [g for _, g in wanted if g is not None]
    np.testing.assert_allclose(x, [n for n, _ in wanted], rtol=0.1)


def test_runs_that_never_grokked_are_counted_in_words(tables):
    rows = tables["train"].drop_columns(["gradient"]).to_pylist()
    lost = [None if (r["width"], r["seed"]) == (8, 0) else r["grok_epoch"] for r in rows]
    never = sum(g is None for g, r in zip(lost, rows, strict=True) if r["epoch"] == 0)
    figure = stage.figure("grokking", changed(tables["train"], "grok_epoch", lost))
    assert f"{never} of 12 runs never grokked" in words(figure)
    # Two of that size grokked and one is later than both: the median is the later of the two.
    still = {g for g, r in zip(lost, rows, strict=True) if r["width"] == 8 and g is not None}
    x, median = lines(figure.axes[0], "median")
    assert len(still) == 2
    assert median[x == 33] == max(still)


def test_the_gini_curves_are_means_over_runs(tables):
    ax = stage.figure("gini", tables["train"]).axes[0]
    rows = [r for r in tables["train"].to_pylist() if r["width"] == 16]
    x, y = lines(ax, "65")
    for epoch in (0, 70, 150):
        mean = np.mean([r["weight_gini"] for r in rows if r["epoch"] == epoch])
        assert y[x == epoch] == pytest.approx(mean, abs=1e-14)


# Sentences


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("fig1", ["train"], "fig1 needs an fss table; 'grokcrit fss' makes it"),
        (
            "fig2",
            ["train"],
            "fig2 needs an avalanche table and an fss table; "
            "'grokcrit avalanche' and 'grokcrit fss' make them",
        ),
        ("bootstrap", ["fss"], "bootstrap needs a bootstrap table; 'grokcrit bootstrap' makes it"),
    ],
)
def test_a_missing_table_is_named_with_the_command_that_makes_it(tables, name, given, sentence):
    with pytest.raises(TableError) as caught:
        stage.figure(name, [tables[s] for s in given])
    assert str(caught.value) == sentence


def test_an_unknown_figure_gets_a_suggestion(tables):
    with pytest.raises(OptionError, match="did you mean 'dimension'") as caught:
        stage.figure("dimensions", tables["fss"])
    assert caught.value.name == "figure"


@pytest.mark.parametrize("out", ["figure.jpg", "figure", "png"])
def test_an_unknown_extension_is_refused_before_any_table_is_opened(out, tmp_path):
    with pytest.raises(OptionError, match=r"\.png, \.pdf, \.svg") as caught:
        stage.plot("fig1", tmp_path / "not-there.parquet", tmp_path / out)
    assert caught.value.name == "out"


def test_a_table_that_is_of_no_stage_is_refused():
    with pytest.raises(TableError, match="is not a table of grokcrit"):
        stage.figure("fig1", pa.table({"x": [1]}))


def test_a_statistic_without_draws_is_refused(tables):
    with pytest.raises(OptionError, match="must be mean or run-max"):
        stage.figure("bootstrap", tables["bootstrap"], statistic="max")


def test_an_observable_that_was_not_fitted_is_refused(tables):
    with pytest.raises(OptionError, match="grokcrit fss --observable area"):
        stage.figure("dimension", tables["fss"], observable="area")


@pytest.mark.parametrize(
    ("option", "sentence"), [({"width": 9}, "8, 16, 32, 64"), ({"run": 7}, "0, 1, 2")]
)
def test_a_run_that_is_not_there_is_refused_with_those_that_are(tables, option, sentence):
    with pytest.raises(OptionError, match=sentence):
        stage.figure("trajectory", tables["train"], **option)


def test_surrogates_without_the_data_are_refused(tables):
    null = tables["fss"].filter(pc.equal(tables["fss"]["surrogate"], "gaussian"))
    with pytest.raises(TableError, match="no rows of surrogate 'none'"):
        stage.figure("dimension", null)


# Cases


@pytest.fixture(scope="module")
def two_cases(tables):
    """The fss table with a second topology, all of whose exponents are 7."""
    fitted = tables["fss"]
    ring = changed(fitted, "topology", ["ring"] * len(fitted))
    ring = changed(ring, "exponent", [7.0] * len(fitted))
    return pa.concat_tables([fitted, ring])


def test_several_cases_must_be_chosen_from(two_cases):
    with pytest.raises(OptionError) as caught:
        stage.figure("dimension", two_cases)
    assert "topology ba, ring" in str(caught.value)
    assert "--where topology=ba" in str(caught.value)


def test_where_chooses_a_case_and_takes_text_for_numbers(two_cases, tables):
    figure = stage.figure("dimension", two_cases, where={"topology": "ring", "alpha": "0.3"})
    assert set(lines(figure.axes[0], "data")[1]) == {7.0}
    figure = stage.figure("dimension", two_cases, where={"topology": "ba"})
    rows = fits(tables, window="epoch")
    assert list(lines(figure.axes[0], "data")[1]) == [row["exponent"] for row in rows]


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"topology": "star"}, "topology star is not in the fss table, which holds topology ba"),
        ({"alpha": "much"}, "alpha must be a number, got 'much'"),
        ({"topologie": "ba"}, "did you mean 'topology'"),
        ({"activation": "relu"}, "activation is no column of the fss table"),
    ],
)
def test_a_case_that_is_not_there_is_refused(two_cases, where, sentence):
    with pytest.raises(OptionError, match=sentence):
        stage.figure("dimension", two_cases, where=where)


def test_tables_of_different_cases_are_refused(tables):
    other = changed(tables["train"], "case", ["other"] * len(tables["train"]))
    with pytest.raises(TableError, match="the train table is not of the case of the other tables"):
        stage.figure("fig1", [other, tables["fss"]])


def test_a_baseline_on_other_graphs_does_not_make_the_case_ambiguous(tables):
    fitted = tables["fss"]
    null = fitted.filter(pc.equal(fitted["surrogate"], "gaussian"))
    elsewhere = changed(null, "topology", ["ring"] * len(null))
    both = stage.figure("dimension", pa.concat_tables([fitted, elsewhere]))
    rows = fits(tables, window="epoch", surrogate="gaussian")
    assert list(lines(both.axes[0], "Gaussian null")[1]) == [row["exponent"] for row in rows]


# Files


@pytest.mark.parametrize(
    ("figure", "extension"), [("fig2", "png"), ("fig2", "pdf"), ("fig1", "svg")]
)
def test_the_same_tables_give_the_same_bytes(tables, figure, extension, tmp_path):
    for name in ("one", "two"):
        stage.plot(figure, list(tables.values()), tmp_path / f"{name}.{extension}")
    written = [(tmp_path / f"{name}.{extension}").read_bytes() for name in ("one", "two")]
    assert written[0] == written[1]
    assert b"CreationDate" not in written[0]
    assert b"dc:date" not in written[0]


def test_a_png_has_at_least_200_dots_an_inch(tables, tmp_path):
    stage.plot("dimension", tables["fss"], tmp_path / "d.png")
    wide = int.from_bytes((tmp_path / "d.png").read_bytes()[16:20])
    assert wide >= 200 * 3.375


def test_an_extension_in_capitals_is_the_same_format(tables, tmp_path):
    stage.plot("dimension", tables["fss"], tmp_path / "d.PDF")
    assert (tmp_path / "d.PDF").read_bytes().startswith(b"%PDF")


def test_an_existing_figure_stays_where_drawing_fails(tables, tmp_path):
    out = tmp_path / "figure.png"
    out.write_bytes(b"before")
    with pytest.raises(TableError):
        stage.plot("fig1", tables["train"], out)
    assert out.read_bytes() == b"before"


def test_an_existing_figure_stays_where_writing_fails(tmp_path, monkeypatch):
    out = tmp_path / "figure.png"
    out.write_bytes(b"before")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(TableError, match="No space left"):
        stage.save(Figure(), out, "fig1")
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]
    assert out.read_bytes() == b"before"


def test_tables_are_read_from_files_and_folders_of_parts(tables, tmp_path):
    for k, name in enumerate(STAGES):
        pq.write_table(tables[name], tmp_path / f"{k}.parquet", write_page_checksum=True)
    folder = stage.figure("dimension", tmp_path)
    memory = stage.figure("dimension", list(tables.values()))
    for label in ("data", "Gaussian null"):
        pairs = (lines(f.axes[0], label) for f in (folder, memory))
        np.testing.assert_array_equal(*pairs)


def test_parts_of_one_stage_are_joined(tables):
    trained = tables["train"]
    narrow = pc.less(trained["width"], 20)
    halves = [trained.filter(narrow), trained.filter(pc.invert(narrow))]
    x, _ = lines(stage.figure("grokking", halves).axes[0], "sustained")
    assert len(x) == 12


def test_the_stage_of_a_table_without_a_record_is_told_by_its_columns(tables):
    bare = [tables[name].replace_schema_metadata(None) for name in STAGES]
    for table, name in zip(bare, STAGES, strict=True):
        assert name in Sources(table)
    assert "CI" in words(stage.figure("dimension", bare))


def test_gradients_are_not_read(tables):
    without = tables["train"].drop_columns(["gradient"])
    assert stage.figure("grokking", without).axes


def test_the_case_of_a_train_table_follows_that_of_the_fss_table(tables):
    """The train table holds two cases, the fits are of one of them."""
    other = changed(tables["train"], "case", ["other"] * len(tables["train"]))
    sources = Sources([pa.concat_tables([tables["train"], other]), tables["fss"]])
    sources.load(["train", "fss"])
    assert sources.table("train").num_rows == tables["train"].num_rows


# Manners


def test_drawing_and_saving_leave_the_global_settings_as_they_were(tables, tmp_path):
    with mpl.rc_context({"font.size": 31, "xtick.direction": "out"}):
        before = dict(mpl.rcParams)
        stage.plot("fig3", tables["bootstrap"], tmp_path / "figure.svg")
        assert dict(mpl.rcParams) == before


def test_a_figure_looks_the_same_whatever_the_global_settings_are(tables, tmp_path):
    stage.plot("dimension", tables["fss"], tmp_path / "plain.svg")
    with mpl.rc_context({"font.size": 31, "axes.grid": True, "axes.facecolor": "yellow"}):
        stage.plot("dimension", tables["fss"], tmp_path / "odd.svg")
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "odd.svg").read_bytes()


def loaded_by(code):
    """Names of the modules that a fresh process has after some code."""
    code += "; import sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    return set(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))


def test_the_names_of_figures_load_neither_matplotlib_nor_pyarrow():
    loaded = loaded_by("import grokcrit.cli.plot, grokcrit.plot")
    assert not {"matplotlib", "pyarrow", "scipy", "numba"} & loaded


def test_the_figures_of_the_source_load_neither_numba_nor_scipy(tables, tmp_path):
    """Fault: a figure loads the panels of every question, which takes as long as drawing it."""
    code = "from grokcrit.stages.plot import figure"
    for name, stages in (
        ("fig1", ("train", "fss")),
        ("fig2", ("avalanche", "fss")),
        ("fig3", ("bootstrap",)),
    ):
        given = [str(tmp_path / f"{each}.parquet") for each in stages]
        for each, path in zip(stages, given, strict=True):
            pq.write_table(tables[each], path)
        code += f"; figure({name!r}, {given})"
    loaded = loaded_by(code)
    assert "matplotlib" in loaded
    assert not {"scipy", "numba"} & loaded


def test_a_panel_draws_on_the_axes_it_is_given_and_returns_them(tables):
    from grokcrit.plot import flow

    sources = Sources(tables["fss"])
    sources.load(["fss"])
    ax = Figure().add_subplot()
    assert flow.dimension(ax, sources, Request()) is ax


def test_the_bars_of_scaling_are_standard_errors_over_runs(tables):
    ax = stage.figure("scaling", [tables["avalanche"], tables["fss"]]).axes[0]
    bars = [c for c in ax.containers if c.has_yerr][0].lines[2][0].get_segments()
    data = [r for r in tables["avalanche"].to_pylist() if r["surrogate"] == "none"]
    for n, segment in zip(sorted({r["n_params"] for r in data}), bars, strict=True):
        means = [
            np.mean([r["size"] for r in data if (r["n_params"], r["seed"]) == (n, seed)])
            for seed in sorted({r["seed"] for r in data})
        ]
        error = np.std(means, ddof=1) / np.sqrt(len(means))
        np.testing.assert_allclose(segment[:, 1], [np.mean(means) - error, np.mean(means) + error])


@pytest.mark.parametrize(
    ("of", "words_of"), [("output", "output weights"), ("gradient", "gradient")]
)
def test_the_gini_panel_says_what_the_coefficient_is_of(of, words_of):
    trained = grokcrit.train(hidden=(3, 4), seeds=1, epochs=5, gini_of=of)
    assert stage.figure("gini", trained).axes[0].get_ylabel() == f"Gini of abs({words_of})"
