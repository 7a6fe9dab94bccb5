"""Main effects: tables whose answer is known, and the shares that a plain analysis gives."""

import itertools
import re

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from grokcrit.base.errors import OptionError, TableError
from grokcrit.questions import choices, effects
from grokcrit.stages import plot
from grokcrit.tasks.swept import SWEEP

LEVELS = {"activation": ["relu", "tanh"], "lr": [0.1, 0.5, 1.0], "rule": ["diffuse", "reset"]}


def made(response, grid=None, **more):
    """A sweep table: D before 1, after as a function of the options says, a null of 0.9."""
    rows = []
    grid = grid or [
        dict(zip(LEVELS, values, strict=True)) for values in itertools.product(*LEVELS.values())
    ]
    for k, options in enumerate(grid):
        after = response(options)
        shared = {"point": f"{k:04}", "task": "xor", "case": "c", "field": "gradient", **options}
        shared |= {"observable": "size", "statistic": "mean"}
        for window, value in (("pre", 1.0), ("post", after), ("post - pre", after - 1.0)):
            row = shared | {"surrogate": "none", "window": window, "exponent": value}
            rows.append(row | {"ci_low": value - 0.098, "ci_high": value + 0.098} | more)
            rows.append(shared | {"surrogate": "gaussian", "window": window, "exponent": 0.9})
        rows.append(
            shared
            | {"surrogate": "none", "window": "aggregate", "exponent": 1.1}
            | {"crossing": 40.0 if after > 1.2 else None, "crossing_clear": after > 1.4}
            | more
        )
    names = SWEEP.arrow.names
    return pa.Table.from_pylist([{n: r.get(n) for n in names} for r in rows], SWEEP.arrow)


def points(table):
    return effects.points_of(table, "size", "mean")


def shares(found):
    return {f.name: effects.share(f.level_of, found.exponent["post"]) for f in found.factors}


def test_what_one_option_does_alone_is_all_its_own():
    found = points(made(lambda o: {"relu": 1.5, "tanh": 1.1}[o["activation"]]))
    assert shares(found) == pytest.approx({"activation": 1, "lr": 0, "rule": 0}, abs=1e-12)
    assert effects.together(found.factors, found.exponent["post"]) == pytest.approx(0, abs=1e-12)


def test_effects_that_add_up_share_the_variance_as_their_squares_do():
    # +-0.3 and +-0.1: variances 0.09 and 0.01.
    found = points(
        made(
            lambda o: (
                1.5
                + (0.3 if o["activation"] == "relu" else -0.3)
                + (0.1 if o["rule"] == "reset" else -0.1)
            )
        )
    )
    assert shares(found) == pytest.approx({"activation": 0.9, "lr": 0, "rule": 0.1}, abs=1e-12)


def test_what_two_options_only_do_together_is_nobodys_own():
    found = points(
        made(lambda o: 2.0 if (o["activation"] == "relu") == (o["rule"] == "reset") else 1.0)
    )
    assert shares(found) == pytest.approx({"activation": 0, "lr": 0, "rule": 0}, abs=1e-12)
    assert effects.together(found.factors, found.exponent["post"]) == pytest.approx(1)


def test_shares_of_a_design_with_holes_do_not_add_up_and_are_not_said_to():
    grid = [dict(zip(LEVELS, v, strict=True)) for v in itertools.product(*LEVELS.values())][:-1]
    found = points(made(lambda o: 1 + o["lr"], grid))
    assert np.isnan(effects.together(found.factors, found.exponent["post"]))
    assert shares(found)["lr"] == pytest.approx(1)


def test_the_p_of_a_share_is_that_of_a_one_way_analysis_of_variance():
    rng = np.random.default_rng(3)
    values = iter(rng.normal(1.3, 0.2, 12))
    found = points(made(lambda o: next(values)))
    response = found.exponent["post"]
    for factor in found.factors:
        groups = [response[factor.level_of == k] for k in range(len(factor.levels))]
        expected = stats.f_oneway(*groups).pvalue
        if factor.name != "rule":  # trainings: here every point is one, but for the rules of one
            means = [r.reshape(-1, 2).mean(axis=1) for r in groups]
            expected = stats.f_oneway(*means).pvalue
        assert effects.p_of_share(found, factor, "post") == pytest.approx(expected)


def test_the_share_of_two_options_together_is_named():
    found = points(
        made(lambda o: 2.0 if (o["activation"] == "relu") == (o["rule"] == "reset") else 1.0)
    )
    (most, *others) = effects.pairs(found.factors, found.exponent["post"])
    assert most == (pytest.approx(1), "activation with rule")
    assert [share for share, _ in others] == pytest.approx([0, 0], abs=1e-12)


def test_an_option_that_follows_another_is_no_effect_of_its_own():
    grid = [
        {"model": m, "lr": lr, "rule": r}
        for m, lr in (("mlp", 0.01), ("transformer", 0.001))
        for r in ("diffuse", "reset")
    ]
    factors = points(made(lambda o: 1.0, grid)).factors
    assert [f.name for f in factors] == ["lr, model", "rule"]
    assert factors[0].levels == ["0.001, transformer", "0.01, mlp"]


def test_a_level_alone_with_numbers_has_no_share():
    found = points(made(lambda o: 1 + o["lr"] if o["activation"] == "relu" else float("nan")))
    assert np.isnan(shares(found)["activation"])
    assert shares(found)["lr"] == pytest.approx(1)


def test_points_with_many_avalanches_cut_off_are_a_warning():
    cut = made(lambda o: 1.0, n_truncated=21, n_avalanches=100, grok_epoch_median=30.0)
    (warned,) = choices.summary(cut, 0.95).warnings
    assert warned.id == "truncated"
    assert re.findall(r"\d+%?", warned.text) == ["12", "12", "5%", "21%"]


def test_the_noise_is_the_squared_error_over_the_variance():
    # Intervals of +-0.098 at 95 %: an error of 0.05. Responses +-0.1 about their mean.
    found = points(made(lambda o: 1.6 if o["activation"] == "relu" else 1.4))
    assert effects.noise(found, "post", 0.95) == pytest.approx((0.05 / 0.1) ** 2, rel=1e-3)
    assert np.isnan(effects.noise(found, "post", None))


def test_an_option_measured_as_trained_is_one_choice():
    grid = [{"train_rule": r, "rule": r, "lr": lr} for r in ("diffuse", "reset") for lr in (1, 2)]
    assert [f.name for f in points(made(lambda o: 1.0, grid)).factors] == ["lr", "rule"]
    grid = [{"train_rule": a, "rule": b} for a in LEVELS["rule"] for b in LEVELS["rule"]]
    assert [f.name for f in points(made(lambda o: 1.0, grid)).factors] == ["train_rule", "rule"]


def test_many_numbers_are_put_into_quarters_of_the_points():
    grid = [{"lr": 0.1 * k} for k in range(1, 21)]
    (factor,) = points(made(lambda o: 1.0, grid)).factors
    assert factor.levels == ["0.1 to 0.5", "0.6 to 1", "1.1 to 1.5", "1.6 to 2"]
    assert np.bincount(factor.level_of).tolist() == [5, 5, 5, 5]


def test_crossings_are_counted_with_and_without_clearness():
    table = made(lambda o: {0.1: 1.1, 0.5: 1.3, 1.0: 1.5}[o["lr"]])
    found = points(table)
    (lr,) = (f for f in found.factors if f.name == "lr")
    counted = [effects.crossed(found, lr.level_of == k) for k in range(3)]
    assert counted == [(0, 0, 4), (0, 4, 4), (4, 4, 4)]


def test_lists_that_begin_and_end_alike_have_names_of_their_own():
    grid = [{"hidden": [4, middle, 9]} for middle in (5, 6, 7)]
    (factor,) = points(made(lambda o: o["hidden"][1] / 10, grid)).factors
    assert factor.levels == ["4,5,9", "4,6,9", "4,7,9"]
    figure = plot.figure("crossings", made(lambda o: 1.0, grid), where={"hidden": "4,6,9"})
    assert figure is not None


def test_the_null_of_a_figure_is_that_of_each_level_and_phase():
    table = made(lambda o: 1.0)
    nulls = [
        {"diffuse": 0.7, "reset": 0.9}[row["rule"]] + (row["window"] == "post") * 0.05
        if row["surrogate"] == "gaussian"
        else row["exponent"]
        for row in table.to_pylist()
    ]
    place = table.schema.get_field_index("exponent")
    table = table.set_column(place, table.schema.field(place), pa.array(nulls))
    ax = plot.figure("effects", table).axes[0]
    strokes = {
        (round(line.get_ydata()[0]), round(line.get_xdata()[0], 6))
        for line in ax.lines
        if line.get_marker() == "|" and len(line.get_xdata())
    }
    names = [label.get_text() for label in ax.get_yticklabels()]
    for name, before in (("rule  diffuse", 0.7), ("rule  reset", 0.9), ("lr  0.5", 0.8)):
        found = {x for y, x in strokes if y == names.index(name)}
        assert found == {round(before, 6), round(before + 0.05, 6)}


def test_a_share_by_chance_needs_two_levels_with_a_number():
    table = made(lambda o: 1.1 if o["lr"] == 0.5 else float("nan"))
    found = points(table)
    lr = next(f for f in found.factors if f.name == "lr")
    assert np.isnan(effects.by_chance(lr.level_of, found.exponent["post"]))


# Many lines, and names of sixty letters and more.
MANY = {name: list(range(6)) for name in ("epochs", "degree", "graph_seed", "seeds", "prime")}
LONG = [
    {"lr": lr, "avalanche_seed": 2**62 + k, "train_seed": 2**61 + k, "rule": rule}
    for k, lr in enumerate([0.5, 1.0])
    for rule in ("diffuse", "reset")
]
DRAWN = np.random.default_rng(0).integers(6, size=(60, len(MANY))).tolist()


@pytest.mark.parametrize("name", ["effects", "sweep"])
@pytest.mark.parametrize("grid", [[dict(zip(MANY, row, strict=True)) for row in DRAWN], LONG])
def test_a_figure_has_room_for_every_name_and_line(name, grid):
    figure = plot.figure(name, made(lambda o: 1 + o.get("lr", 0.01 * o.get("degree", 0)), grid))
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert figure.bbox.padded(1).containsx(ax.get_legend().get_window_extent().x1)
        assert ax.get_position().width > 0.2 * len(figure.axes) ** -0.5
        boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
        assert figure.bbox.padded(1).containsx(min(box.x0 for box in boxes))
        boxes = sorted((box for box in boxes if box.width), key=lambda box: box.y0)
        for lower, upper in itertools.pairwise(boxes):
            assert lower.y1 <= upper.y0 + 1


def test_a_figure_shows_the_points_whose_options_are_asked_for():
    table = made(lambda o: o["lr"])
    figure = plot.figure("crossings", table, where={"activation": "relu", "lr": "0.5"})
    after = [y for line in figure.axes[0].lines for y in line.get_ydata() if len(line.get_xdata())]
    assert sorted(set(after)) == pytest.approx([-0.4, 0, 1])
    with pytest.raises(OptionError, match=r"lr 0\.3 is not in the sweep .* holds lr 0\.1, 0\.5, 1"):
        plot.figure("crossings", table, where={"lr": 0.3})


def test_crossings_at_points_where_nothing_groks_are_a_warning():
    (warned,) = choices.summary(made(lambda o: 1 + o["lr"]), 0.95).warnings
    assert warned.id == "crossing-without-grokking"
    assert re.findall(r"\d+", warned.text) == ["8", "12"]
    assert choices.summary(made(lambda o: 1 + o["lr"], grok_epoch_median=30.0), 0.95).warnings == []


def test_points_that_failed_are_counted_and_left_out():
    table = made(lambda o: 1.0)
    row = {"point": "ffff", "task": "xor", "case": "c", "field": "gradient", "error": "it broke"}
    names = SWEEP.arrow.names
    broken = pa.Table.from_pylist([{n: row.get(n) for n in names}], SWEEP.arrow)
    found = points(pa.concat_tables([table, broken]))
    assert (found.failed, len(found.keys)) == (1, 12)
    summary = choices.summary(pa.concat_tables([table, broken]), 0.95)
    (text,) = (w.text for w in summary.warnings if w.id == "failed-points")
    assert text.startswith("1 of 13")
    assert text.endswith("it broke")


def test_a_sweep_of_nothing_but_failures_has_an_account():
    row = {"point": "ffff", "task": "xor", "case": "c", "field": "gradient", "error": "it broke"}
    names = SWEEP.arrow.names
    broken = pa.Table.from_pylist([{n: row.get(n) for n in names}], SWEEP.arrow)
    assert choices.summary(broken, None).rows[0]["points"] == 0


@pytest.mark.parametrize("panel", ["effects", "crossings", "variance"])
def test_each_panel_is_drawn_alone(panel, tmp_path):
    plot.plot(panel, made(lambda o: 1 + o["lr"]), tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 5_000


def test_a_panel_that_has_nothing_to_show_says_what_the_sweep_holds():
    with pytest.raises(TableError, match="no point of the sweep has the mean area; it holds size"):
        plot.figure("effects", made(lambda o: 1.0), observable="area")
    with pytest.raises(TableError, match="no option of this sweep takes more than one value"):
        plot.figure("variance", made(lambda o: 1.0, [{"lr": 0.5}]))


def test_the_account_shows_the_mean_of_each_level():
    summary = choices.summary(made(lambda o: {0.1: 1.1, 0.5: 1.3, 1.0: 1.5}[o["lr"]]), 0.95)
    rows = {(r["option"], r["value"]): r for r in summary.rows}
    assert rows["lr", "0.5"]["after"] == pytest.approx(1.3)
    assert rows["lr", "0.5"]["change"] == pytest.approx(0.3)
    assert rows["lr", "1"]["crossing"] == "4 of 4"
    assert rows["all points", ""]["points"] == 12
