"""Several graph seeds of one case: runs and graphs in one interval, against loops."""

import itertools
import math
from collections import Counter

import naive
import numpy as np
import pytest
from scipy import stats

import grokcrit
from grokcrit.base.errors import OptionError
from grokcrit.scaling import ensembles as scaling
from grokcrit.scaling import resampling
from grokcrit.scaling.clocks import windows
from grokcrit.scaling.lines import lines_of
from grokcrit.scaling.reductions import over_snapshots

from .synthetic import regular_rows, row, table

PHASES = ("aggregate", "pre", "post")
GRAPHS = (0, 1, 4)


def on_graphs(seed, graphs=GRAPHS, **case):
    """Rows of the same runs on several graphs, each with sizes of its own."""
    return [r for g in graphs for r in regular_rows(100 * seed + g, graph_seed=g, **case)]


def one(made, **wanted):
    (found,) = (r for r in made.to_pylist() if all(r[k] == v for k, v in wanted.items()))
    return found


def by_run_and_graph(rows, statistic):
    """N to {(seed, graph): mean or largest size over snapshots}."""
    values = {}
    for r in rows:
        values.setdefault((r["n_params"], r["seed"], r["graph_seed"]), []).append(r["size"])
    reduce = (lambda v: sum(v) / len(v)) if statistic == "mean" else max
    sizes = {}
    for (n, seed, graph), each in values.items():
        sizes.setdefault(n, {})[seed, graph] = reduce(each)
    return dict(sorted(sizes.items()))


def scatter(values):
    """Variance of a mean and its degrees of freedom."""
    mean = sum(values) / len(values)
    count = len(values)
    return sum((v - mean) ** 2 for v in values) / (count * (count - 1)), count - 1


def levels(cells):
    """Mean of all, and of each run and each graph over it, of one size."""
    runs, graphs = (sorted({key[k] for key in cells}) for k in (0, 1))
    mean = sum(cells.values()) / len(cells)
    of_runs = [sum(cells[r, g] for g in graphs) / len(graphs) / mean for r in runs]
    of_graphs = [sum(cells[r, g] for r in runs) / len(runs) / mean for g in graphs]
    return mean, of_runs, of_graphs


def slopes(sizes):
    """ln N and the weight of each size in the slope."""
    x = [math.log(n) for n in sizes]
    centre = sum(x) / len(x)
    return x, [(a - centre) / sum((b - centre) ** 2 for b in x) for a in x]


def welch(parts):
    """Sum of variances and its degrees of freedom, from pairs of both."""
    total = sum(v for v, _ in parts)
    return total, total**2 / sum(v**2 / f for v, f in parts)


def misfit(x, logs, parts):
    """Variance of the slope that the misfit adds, and its degrees of freedom."""
    variances, freedoms = zip(*map(welch, parts), strict=True)
    _, free, p = naive.lack_of_fit(x, logs, variances, [f + 1 for f in freedoms])
    return naive.misfit(x, logs, variances) if p < 0.05 else 0.0, free


def test_lack_of_fit_is_against_the_scatter_of_both_levels():
    """Fault: chi^2 of the runs alone, or p as if each variance had the runs' degrees of freedom."""
    rows = on_graphs(1)
    (ensemble,) = scaling.ensembles(table(rows), crossed=True)
    bins = windows(ensemble, "aggregate")
    by_run = over_snapshots(ensemble, ensemble.observe("size"), bins, "mean")
    found = lines_of(ensemble, by_run, "mean").lack_of_fit
    sizes = by_run_and_graph(rows, "mean")
    split = list(map(levels, sizes.values()))
    variances, freedoms = zip(*(welch([scatter(r), scatter(g)]) for _, r, g in split), strict=True)
    logs = [math.log(mean) for mean, _, _ in split]
    wanted = naive.lack_of_fit(slopes(sizes)[0], logs, variances, [f + 1 for f in freedoms])
    assert (found.chi2[0], found.freedom[0], found.p[0]) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("statistic", ["mean", "run-max"])
def test_estimate_and_interval_of_runs_and_graphs_are_those_of_loops(statistic):
    """Fault: an interval that holds the scatter of one level, or divides by the wrong number."""
    rows = on_graphs(1)
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=300)
    assert {r["graph_seed"] for r in made.to_pylist()} == {None}
    for window in PHASES:
        chosen = {"statistic": statistic, "window": window, "part": None}
        found = one(made, kind="interval", method="expanded percentile", **chosen)
        sizes = by_run_and_graph(naive.in_window(rows, window), statistic)
        x, weights = slopes(sizes)
        split = list(map(levels, sizes.values()))
        logs = [math.log(mean) for mean, _, _ in split]
        value = naive.slope(x, logs)
        assert found["exponent"] == pytest.approx(value, rel=1e-10)
        parts = [(scatter(runs), scatter(graphs)) for _, runs, graphs in split]
        moved = [(w * w * v, f) for w, two in zip(weights, parts, strict=True) for v, f in two]
        variance, freedom = welch(moved)
        resampled = sum(v * f / (f + 1) for v, f in moved)
        tail = stats.norm.cdf(-math.sqrt(variance / resampled) * stats.t.ppf(0.975, freedom))
        draws = one(made, kind="draws", statistic=statistic, window=window)["draws"]
        more, free = misfit(x, logs, parts)
        half = stats.t.ppf(0.975, free) * math.sqrt(more)
        low, high = np.quantile(draws, [tail, 1 - tail])
        wanted = (value - math.hypot(value - low, half), value + math.hypot(high - value, half))
        assert (found["ci_low"], found["ci_high"]) == pytest.approx(wanted, rel=1e-9)


def test_a_draw_holds_every_drawn_run_on_every_drawn_graph():
    """Fault: cells drawn one by one, which are not independent; graphs drawn once for all sizes."""
    rows = on_graphs(2)
    (ensemble,) = scaling.ensembles(table(rows), crossed=True)
    draws = resampling.draw_runs(ensemble, 12, 5)
    made = grokcrit.bootstrap(table(rows), observable="size", resamples=12, seed=5)
    drawn_graphs = []
    for k in range(12):
        resample = []
        for n, drawn in zip(ensemble.sizes.tolist(), draws, strict=True):
            pairs = [divmod(cell, 4) for cell in drawn[k].tolist()]
            graphs, runs = (Counter(pair[level] for pair in pairs) for level in (0, 1))
            assert all(c * 12 == graphs[g] * runs[r] for (g, r), c in Counter(pairs).items())
            drawn_graphs.append(tuple(sorted(graphs.items())))
            for copy, (g, r) in enumerate(pairs):
                mine = (each for each in rows if each["n_params"] == n and each["seed"] == r)
                resample += [
                    {**each, "seed": copy} for each in mine if each["graph_seed"] == GRAPHS[g]
                ]
        for window in PHASES:
            found = one(made, kind="draws", statistic="mean", window=window)["draws"]
            wanted = naive.exponent(naive.in_window(resample, window), "size", "mean")
            assert found[k] == pytest.approx(wanted, rel=1e-10)
    of_sizes = [drawn_graphs[k : k + len(draws)] for k in range(0, len(drawn_graphs), len(draws))]
    assert all(len(set(each)) > 1 for each in of_sizes)


def test_the_null_is_paired_with_the_data_in_runs_and_graphs():
    rows = on_graphs(3)
    null = [{**r, "surrogate": "gaussian"} for r in rows]
    made = grokcrit.bootstrap(table(rows + null), observable="size", resamples=30)
    found = [r for r in made.to_pylist() if r["part"] == "minus gaussian"]
    assert found
    for r in found:
        assert r["exponent"] == 0
        assert r["kind"] != "interval" or r["ci_low"] == r["ci_high"] == 0


def test_a_null_of_other_graphs_is_not_compared():
    """Fault: equal numbers of graphs with other seeds are taken as paired."""
    null = on_graphs(3, graphs=(0, 1, 5), surrogate="gaussian")
    made = grokcrit.bootstrap(table(on_graphs(3) + null), observable="size", resamples=5)
    assert not any(r["part"] == "minus gaussian" for r in made.to_pylist())


def test_one_graph_of_several_is_as_a_table_of_it_alone():
    rows = on_graphs(4)
    found = grokcrit.bootstrap(table(rows), observable="size", resamples=20, graph_seed=4)
    mine = table([r for r in rows if r["graph_seed"] == 4])
    wanted = grokcrit.bootstrap(mine, observable="size", resamples=20)
    assert found.equals(wanted)
    two = grokcrit.bootstrap(table(rows), observable="size", resamples=20, graph_seed=(0, 4))
    assert not two.equals(grokcrit.bootstrap(table(rows), observable="size", resamples=20))


@pytest.mark.parametrize("blocks", [None, 2])
def test_graphs_that_are_all_alike_leave_the_p_of_one(blocks):
    """Fault: blocks of runs on several graphs are taken for those of another run."""
    rows = regular_rows(6)
    same = [{**r, "graph_seed": g} for g in GRAPHS for r in rows]
    wanted, found = (
        grokcrit.bootstrap(table(each), observable="size", resamples=20, blocks=blocks)
        for each in (rows, same)
    )
    place = {"kind": "interval", "method": "expanded percentile", "window": "post - pre"}
    for statistic in ("mean", "run-max", "cutoff"):
        mine, other = (one(each, statistic=statistic, **place) for each in (found, wanted))
        assert mine["p"] == pytest.approx(other["p"], rel=1e-6)


def test_a_graph_seed_that_is_not_there_is_an_error():
    with pytest.raises(OptionError, match="7 is not in the avalanche table, which has 0, 1, 4"):
        grokcrit.bootstrap(table(on_graphs(1)), graph_seed=(0, 7))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: None if r["seed"] == 2 else r,
        lambda r: None if (r["seed"], r["epoch"]) == (2, 30) else r,
        lambda r: r | {"seed": r["seed"] + 1},
        lambda r: r | {"epoch": r["epoch"] + 1},
        lambda r: r | {"grok_epoch": 45},
    ],
)
def test_graphs_of_other_runs_or_snapshots_are_refused(change):
    """Fault: runs of one graph are paired with other runs of the next."""
    rows = [r if r["graph_seed"] != 1 else change(r) for r in on_graphs(1)]
    rows = [r for r in rows if r is not None]
    with pytest.raises(OptionError, match="same runs, snapshots and grokking epochs"):
        grokcrit.bootstrap(table(rows))
    made = grokcrit.bootstrap(table(rows), graph_seed=1, resamples=5)
    assert {r["graph_seed"] for r in made.to_pylist()} == {1}


# --- the graph of the training ----------------------------------------------------------------


def trained(rows, **options):
    """A table whose record says how its case was trained."""
    cases = {"made": {"topology": "ba", "degree": 6, "graph_seed": 1, "probe": "inline"} | options}
    record = grokcrit.tables.provenance.record("avalanche/1", {}, root_seed=0, cases=cases)
    metadata = grokcrit.tables.provenance.encode(record)
    return table(rows).replace_schema_metadata(metadata)


@pytest.mark.parametrize("statistic", ["mean", "run-max"])
def test_the_training_graph_minus_the_others_is_that_of_loops(statistic):
    """Fault: the scatter of one graph is taken for that of a mean of graphs, or runs not paired."""
    rows = on_graphs(5, graphs=(0, 1, 4, 6))
    made = grokcrit.bootstrap(trained(rows), observable="size", resamples=5)
    for window in PHASES:
        sizes = by_run_and_graph(naive.in_window(rows, window), statistic)
        x, weights = slopes(sizes)
        logs, parts = [], []
        for cells in sizes.values():
            mine, my_runs, _ = levels({k: v for k, v in cells.items() if k[1] == 1})
            rest, runs, graphs = levels({k: v for k, v in cells.items() if k[1] != 1})
            logs.append(math.log(mine / rest))
            of_three, freedom = scatter(graphs)
            of_one = of_three * len(graphs)
            gaps = [a - b for a, b in zip(my_runs, runs, strict=True)]
            parts.append((scatter(gaps), (of_one + of_three, freedom)))
        moved = [(w * w * v, f) for w, two in zip(weights, parts, strict=True) for v, f in two]
        value = naive.slope(x, logs)
        variance, freedom = welch([*moved, misfit(x, logs, parts)])
        half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
        found = one(made, statistic=statistic, window=window, part="training graph")
        assert found["exponent"] == pytest.approx(value, rel=1e-9)
        ends = (found["ci_low"], found["ci_high"])
        assert ends == pytest.approx((value - half, value + half), rel=1e-8)
        p = 2 * stats.t.sf(abs(value) / math.sqrt(variance), freedom)
        assert found["p"] == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize(
    "options", [{"probe": "shadow"}, {"graph_seed": 2}, {"degree": 4}, {"topology": "ring"}]
)
def test_there_is_no_training_graph_where_none_of_them_was_trained_on(options):
    made = grokcrit.bootstrap(trained(on_graphs(5), **options), observable="size", resamples=5)
    assert "training graph" not in made["part"].to_pylist()


# --- coverage ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("sigma_run", "sigma_graph"), [(0.3, 0.3), (0.1, 0.3), (0.3, 0.1)])
def test_intervals_of_runs_and_graphs_cover_what_they_say(sigma_run, sigma_graph):
    """2000 tables, 6 runs, 8 graphs, exponent 1.1, scatter of a pair 0.1; error 0.5 %."""
    widths, graphs, together = (20, 30, 50, 75, 100, 200, 300, 500), range(8), 20
    made = [
        row(w, s, 0, [10], graph_seed=g) for w, g, s in itertools.product(widths, graphs, range(6))
    ]
    (found,) = scaling.ensembles(table(made), crossed=True)
    n = found.sizes.astype(float)[:, None, None, None]
    rng = np.random.default_rng(8)
    hits = np.zeros(2)
    for number in range(2000 // together):
        logs = sigma_run * rng.normal(size=(8, 1, 6, together))
        logs = logs + sigma_graph * rng.normal(size=(8, 8, 1, together))
        logs = logs + 0.1 * rng.normal(size=(8, 8, 6, together))
        values = (n**1.1 * np.exp(logs)).reshape(-1, together)
        draws = resampling.draw_runs(found, 500, number)
        low, high = resampling.exponents(found, values, "mean", draws).interval(0.95)
        hits[0] += ((low <= 1.1) & (high >= 1.1)).sum()
        hits[1] += (resampling.trained_graph(found, values, "mean", 0).p() > 0.05).sum()
    print(f"coverage at 95 %: {hits / 2000}")
    assert (hits / 2000 >= 0.93).all()
    assert (hits / 2000 <= 0.97).all()
