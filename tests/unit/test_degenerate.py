"""Thresholds that are none: gradients of mostly exact zeros, and of entries of one magnitude."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import grokcrit
from grokcrit.base.errors import TableError
from grokcrit.stages.avalanche import avalanche_summary
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.stages.diagnose import diagnose_summary
from grokcrit.stages.fss import fss_summary
from grokcrit.stages.robustness import robustness, robustness_summary
from grokcrit.tables import provenance
from grokcrit.tables.provenance import decode
from grokcrit.tasks.modadd import ModaddOptions
from grokcrit.tasks.train_rows import RunName, record_of, rows_of
from grokcrit.tasks.xor import TrainOptions
from tests.unit.synthetic import regular_rows, table

SIZES = (40, 80, 160, 320)


def train_table(make, epochs=4, seeds=2):
    """A train table whose gradients are ``make(n, rng, epoch)``; two tensors a network."""
    parts, widths = [], {}
    for width, n in enumerate(SIZES, start=1):
        widths[str(width)] = [
            {"name": "embedding", "shape": [n - 10], "offset": 0},
            {"name": "head", "shape": [10], "offset": n - 10},
        ]
        for seed in range(seeds):
            rng = np.random.default_rng((n, seed))
            gradients = np.stack([make(n, rng, epoch) for epoch in range(epochs)])
            name = RunName("t", "c", "gradient", width, n, seed)
            parts.append(rows_of(name, np.arange(epochs), gradients, np.ones(epochs, bool), {}))
    record = record_of("c", widths, {})
    return pa.concat_tables(parts).replace_schema_metadata(provenance.encode(record))


def sparse_at_first(n, rng, epoch):
    """A batch touches few rows of the embedding before the third snapshot."""
    values = rng.normal(size=n)
    if epoch < 2:
        values[: int(0.95 * n)] = 0
    return values


def ids(summary):
    return [notice.id for notice in summary.warnings]


def text(summary, name):
    return next(notice.text for notice in summary.warnings if notice.id == name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0, 0.5, 0.95, 1])
@pytest.mark.parametrize("q", [0, 50, 90, 99.9])
def test_the_percentile_of_nonzero_entries_is_numpys(dtype, share, q):
    """Fault: ranks not moved up by the number of zeros, or moved where there are none."""
    for n in (5, 600, 5000):
        rng = np.random.default_rng(n)
        g = rng.normal(size=n).astype(dtype)
        g[rng.random(n) < share] = 0
        graph = grokcrit.graph("ring", n=n, degree=2)
        others = np.abs(g[g != 0])
        found = grokcrit.cascade(g, graph, quantile=q, threshold_of="nonzero").threshold
        assert found == (np.percentile(others, q) if len(others) else 0)
        assert grokcrit.cascade(g, graph, quantile=q).threshold == np.percentile(np.abs(g), q)


def test_zero_thresholds_are_flagged_counted_and_named_by_tensor():
    """Fault: D of cascades that cannot end, without a word; zeros laid at the wrong tensor."""
    found = grokcrit.avalanche(train_table(sparse_at_first))
    assert found["zero_threshold"].to_pylist() == [
        e < 2 for _ in SIZES for _ in range(2) for e in range(4)
    ]
    said = avalanche_summary(found)
    assert ids(said) == ["zero-threshold"]  # no advice to raise --max-steps
    assert "in 16 of 32 avalanches" in text(said, "zero-threshold")
    embedding, head = (
        decode(found.schema.metadata, "")["degenerate"]["zeros"][k] for k in ("embedding", "head")
    )
    zeros = {n: int(0.95 * n) for n in SIZES}
    in_embedding = {n: min(zeros[n], n - 10) for n in SIZES}
    assert embedding == [4 * sum(in_embedding.values()), 4 * sum(n - 10 for n in SIZES)]
    assert head == [4 * (sum(zeros.values()) - sum(in_embedding.values())), 4 * 10 * len(SIZES)]


def test_fits_leave_zero_thresholds_out_with_their_null_models():
    """Fault: half of the snapshots pooled with meaningless sizes; a null of other snapshots."""
    found = grokcrit.avalanche(train_table(sparse_at_first), surrogate=("none", "gaussian"))
    without = found.filter(pc.greater_equal(found["epoch"], 2))
    for stage in (grokcrit.fss, grokcrit.bootstrap):
        options = {"observable": "size", "resamples": 50}
        assert stage(found, **options).equals(stage(without, **options))
        kept = stage(found, keep_zero_threshold=True, **options)
        assert not kept.equals(stage(without, **options))
    fits = grokcrit.fss(found, observable="size", resamples=50)
    assert "null-of-other-runs" not in ids(fss_summary(fits))
    assert "16 of 32" in text(fss_summary(fits), "zero-threshold")
    drawn = grokcrit.bootstrap(found, observable="size", resamples=50)
    assert "16 of 32" in text(bootstrap_summary(drawn), "zero-threshold")
    asked = grokcrit.diagnose(found, only=("counts", "nulls"), observable="size", resamples=50)
    assert "16 of 32" in text(diagnose_summary(asked), "zero-threshold")


def test_the_studies_leave_them_out_too():
    """Fault: robustness fails, or reports D near 1, where nothing or little is left."""
    grid = {"topology": ("ring",), "alpha": (0.3,), "quantile": (90, 99), "graph_seeds": 1}
    grid |= {"observable": "size", "resamples": 20}
    for make, lost in ((sparse_at_first, 16), (lambda n, _, __: 1.0 * (np.arange(n) < 2), 32)):
        table = robustness(train_table(make), **grid)
        found = [r for r in table.to_pylist() if r["quantity"] == "zero-threshold"]
        assert {(r["value"], r["n"]) for r in found if r["quantile"] == 90} == {(lost, 32)}
        assert "zero-threshold" in ids(robustness_summary(table))
    table = robustness(train_table(sparse_at_first), threshold_of="nonzero", **grid)
    assert "zero-threshold" not in ids(robustness_summary(table))


def test_where_every_threshold_is_0_there_is_no_exponent():
    """Fault: D near 1 with a narrow interval, from N alone."""
    found = grokcrit.avalanche(train_table(lambda n, _, __: 1.0 * (np.arange(n) < n // 20)))
    assert min(found["size"].to_pylist()) > 0
    fits = grokcrit.fss(found, resamples=50)
    assert fits["exponent"].null_count == fits.num_rows
    again = grokcrit.avalanche(train_table(sparse_at_first), threshold_of="nonzero")
    assert pc.min(again["threshold"]).as_py() > 0
    assert ids(avalanche_summary(again)) == []


def test_a_table_without_the_flag_is_judged_by_threshold_and_size():
    """Fault: a table of an earlier version, or of another program, is trusted."""
    rows = regular_rows(0)
    plain = grokcrit.fss(table(rows), resamples=20)
    extra = [{**row, "epoch": row["epoch"] + 1, "threshold": 0.0} for row in rows]
    mixed = table(rows + extra).drop_columns("zero_threshold")
    assert grokcrit.fss(mixed, resamples=20).equals(plain)


def test_a_gradient_of_zeros_is_quiet_and_not_flagged():
    """Fault: a flood of warnings where training has converged (CONTRACT)."""
    found = grokcrit.avalanche(train_table(lambda n, _, __: np.zeros(n)))
    assert not any(found["zero_threshold"].to_pylist())
    assert ids(avalanche_summary(found)) == ["quiet"]


@pytest.mark.parametrize("noise", [0, 3e-5])
def test_updates_of_one_magnitude_are_warned_of(noise):
    """Fault: Adam's first update, whose avalanche is that of rounding, passes as data."""

    def adam(n, rng, epoch):
        g = rng.normal(size=n)
        step = np.sign(g) if epoch == 0 else g
        return 1e-3 * step * (1 + noise * rng.normal(size=n))

    said = avalanche_summary(grokcrit.avalanche(train_table(adam)))
    assert "in 8 of 32 gradients (at epochs 0)" in text(said, "equal-values")
    fits = grokcrit.fss(grokcrit.avalanche(train_table(adam)), resamples=5)
    assert "in 8 of 32" in text(fss_summary(fits), "equal-values")
    said = avalanche_summary(grokcrit.avalanche(train_table(lambda n, rng, _: rng.normal(size=n))))
    assert ids(said) == []


@pytest.mark.parametrize("threshold_of", ["all", "nonzero"])
@pytest.mark.parametrize(("zeros", "steps"), [(0.55, (1.0,)), (0.0, (1.0, 1.0, 1.0, 2.0, 2.0))])
def test_signs_beside_zeros_and_two_step_sizes_are_warned_of(threshold_of, zeros, steps):
    """Fault: Lion on a sparse embedding, or with two learning rates, passes as data."""

    def lion(n, rng, _):
        step = rng.choice([-1, 1], n) * 1e-3 * rng.choice(steps, n)
        return np.where(rng.random(n) < zeros, 0, step * (1 + 3e-5 * rng.normal(size=n)))

    said = avalanche_summary(grokcrit.avalanche(train_table(lion), threshold_of=threshold_of))
    assert "in 32 of 32 gradients (at epochs 0, 1, 2, 3)" in text(said, "equal-values")


def test_a_flag_in_the_table_is_trusted():
    """Fault: thresholds that a program has rounded to 0 cost every row."""
    rows = [{**row, "threshold": 0.0, "zero_threshold": False} for row in regular_rows(0)]
    assert grokcrit.fss(table(rows), resamples=5)["exponent"].null_count < 20
    some = [{**row, "zero_threshold": row["epoch"] == 0} for row in regular_rows(0)]
    without = [row for row in regular_rows(0) if row["epoch"] != 0]
    mine = grokcrit.fss(table(some), resamples=5)
    assert mine.equals(grokcrit.fss(table(without), resamples=5))


def test_training_with_nonzero_thresholds_is_a_case_of_its_own():
    """Fault: the default's case gets another name, or two thresholds are pooled under one."""
    for kind in (TrainOptions, ModaddOptions):
        assert "threshold_of" not in kind().case_options
        assert kind(threshold_of="nonzero").case != kind().case
    options = {"hidden": (3, 5, 8), "seeds": 2, "epochs": 20}
    trained = grokcrit.train(threshold_of="nonzero", activation="relu", **options)
    found = grokcrit.avalanche(trained)
    for name in ("threshold", "size"):
        kept = trained.filter(pc.is_valid(trained["gradient"])).sort_by("width")
        assert sorted(found[name].to_pylist()) == sorted(kept[name].to_pylist())


def test_tables_of_different_thresholds_are_not_pooled():
    """Fault: no column tells them apart, so one case would hold both."""
    trained = train_table(lambda n, rng, _: rng.normal(size=n))
    half = [trained.filter(pc.equal(trained["seed"], s)) for s in (0, 1)]
    made = [grokcrit.avalanche(half[0]), grokcrit.avalanche(half[1], threshold_of="nonzero")]
    with pytest.raises(TableError, match="--threshold-of"):
        grokcrit.fss(made)
