"""Stage 2: the cascade of every snapshot, on any graph, of the data and of its null models."""

import itertools
import json

import naive
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

import grokcrit
from grokcrit.base.errors import EmptyError, OptionError, RecordError, TableError
from grokcrit.base.options import CascadeOptions
from grokcrit.base.vocabulary import SURROGATES
from grokcrit.cascades.graphs import graph_of
from grokcrit.stages import avalanche as stage
from grokcrit.tables.schemas import AVALANCHE

COUNTS = ("size", "area", "duration", "peak", "threshold", "truncated")
KEY = ("width", "seed", "epoch")


def bare(table):
    return table.replace_schema_metadata(None)


def with_gradients(table, change):
    """A train table whose gradients went through ``change(row, values)``."""
    values = [
        None if row["gradient"] is None else change(row, np.array(row["gradient"]))
        for row in table.to_pylist()
    ]
    place = table.schema.get_field_index("gradient")
    return table.set_column(
        place,
        "gradient",
        pa.array([None if v is None else list(v) for v in values], pa.list_(pa.float64())),
    )


def snapshots(table):
    return {tuple(r[k] for k in KEY): r for r in table.to_pylist() if r["gradient"] is not None}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rule": "reset"},
        {"parameter_order": "shuffled"},
        {"parameter_order": "shuffled", "topology": "small-world", "graph_seed": 5},
        {"probe": "shadow"},
        {"topology": "lattice", "alpha": 0.77, "quantile": 60.5, "max_steps": 4},
        {"topology": "erdos-renyi", "degree": 3, "alpha": 1.0, "rule": "reset", "max_steps": 1},
        {"topology": "random-regular", "degree": 4, "label": "mine", "activation": "relu"},
    ],
)
def test_on_the_training_graph_the_numbers_are_those_of_training(options):
    table = grokcrit.train(hidden=(3, 5, 9), seeds=2, epochs=60, snapshot_every=4, **options)
    mine = grokcrit.avalanche(table)
    wanted = snapshots(table)
    rows = mine.to_pylist()
    assert [tuple(r[k] for k in KEY) for r in rows] == sorted(wanted)
    for row in rows:
        trained_row = wanted[tuple(row[k] for k in KEY)]
        for name in (*COUNTS, "n_params", "grok_epoch", "task", "case", "field"):
            assert row[name] == trained_row[name], name
        assert sum(row["activity"]) == row["size"]
        assert len(row["activity"]) == row["duration"]
        assert max(row["activity"], default=0) == row["peak"]
    for name in ("topology", "degree", "graph_seed", "alpha", "quantile", "rule"):
        default = getattr(CascadeOptions(), name)
        assert set(mine[name].to_pylist()) == {options.get(name, default)}
    assert set(mine["surrogate"].to_pylist()) == {"none"}
    assert set(mine["replicate"].to_pylist()) == {0}


def test_the_table_is_of_its_schema_and_sorted_by_its_key(avalanches):
    assert avalanches.schema.equals(AVALANCHE.arrow)
    keys = [tuple(r[k] for k in AVALANCHE.key) for r in avalanches.to_pylist()]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys) == 2 * 5 * 3 * 13


def test_every_case_of_the_product_is_the_oracles(trained):
    some = trained.filter(pc.and_(pc.equal(trained["width"], 8), pc.less(trained["seed"], 2)))
    table = grokcrit.avalanche(
        some,
        topology=("ring", "small-world"),
        graph_seed=(0, 3),
        alpha=(0.2, 1.0),
        quantile=(70, 90),
        rule=("diffuse", "reset"),
        degree=4,
        max_steps=7,
    )
    kept = snapshots(some)
    assert table.num_rows == 2**5 * len(kept)
    axes = ("topology", "graph_seed", "alpha", "quantile", "rule")
    assert len({tuple(r[a] for a in axes) for r in table.to_pylist()}) == 2**5
    graphs = {
        (topology, seed): naive.adjacency(
            graph_of(CascadeOptions(topology=topology, graph_seed=seed, degree=4), 33)
        )
        for topology, seed in itertools.product(("ring", "small-world"), (0, 3))
    }
    for row in table.to_pylist():
        assert row["degree"] == 4
        wanted = naive.cascade(
            np.array(kept[tuple(row[k] for k in KEY)]["gradient"]),
            graphs[row["topology"], row["graph_seed"]],
            row["alpha"],
            row["quantile"],
            row["rule"],
            7,
        )
        for name in (*COUNTS, "activity"):
            assert row[name] == wanted[name], name


def test_options_given_replace_those_of_training_one_by_one():
    table = grokcrit.train(
        hidden=(3,), seeds=1, epochs=10, topology="ring", degree=4, alpha=0.7, quantile=80
    )
    row = grokcrit.avalanche(table, alpha=0.2).to_pylist()[0]
    assert (row["topology"], row["degree"], row["alpha"], row["quantile"]) == ("ring", 4, 0.2, 80.0)
    row = grokcrit.avalanche(table, degree=6, topology="ba").to_pylist()[0]
    assert (row["topology"], row["degree"], row["alpha"], row["quantile"]) == ("ba", 6, 0.7, 80.0)


def test_only_random_surrogates_are_replicated(trained):
    table = grokcrit.avalanche(trained, surrogate=("none", "gaussian"), replicates=3)
    found = {(r["surrogate"], r["replicate"]) for r in table.to_pylist()}
    assert found == {("none", 0), ("gaussian", 0), ("gaussian", 1), ("gaussian", 2)}
    sizes = {
        k: table.filter(
            pc.and_(pc.equal(table["surrogate"], "gaussian"), pc.equal(table["replicate"], k))
        )["threshold"].to_pylist()
        for k in range(3)
    }
    assert sizes[0] != sizes[1] != sizes[2] != sizes[0]


def test_fewer_replicates_are_the_first_of_more(trained):
    one = grokcrit.avalanche(trained, surrogate="gaussian")
    three = grokcrit.avalanche(trained, surrogate="gaussian", replicates=3)
    assert bare(three.filter(pc.equal(three["replicate"], 0))).equals(bare(one))


# --- the Gaussian null ------------------------------------------------------------------------


def test_the_gaussian_null_does_not_depend_on_the_data(trained):
    scaled = with_gradients(trained, lambda row, g: 1e3 * g**3 + row["epoch"])
    a = grokcrit.avalanche(trained, surrogate="gaussian")
    b = grokcrit.avalanche(scaled, surrogate="gaussian")
    assert bare(a).equals(bare(b))


def test_the_gaussian_null_does_not_depend_on_how_a_run_was_trained(trained):
    other = grokcrit.train(
        hidden=(3, 5, 8, 12, 20), seeds=3, epochs=120, activation="relu", lr=0.1, seed=3
    )
    names = [*KEY, "size", "area", "duration", "peak", "threshold"]
    a = grokcrit.avalanche(trained, surrogate="gaussian").select(names)
    b = grokcrit.avalanche(other, surrogate="gaussian").select(names)
    assert bare(a).equals(bare(b))


def test_the_gaussian_null_is_another_draw_for_every_seed_snapshot_replicate_and_graph(trained):
    table = grokcrit.avalanche(
        trained, surrogate="gaussian", replicates=2, graph_seed=(0, 1), topology=("ba", "ring")
    )
    again = grokcrit.avalanche(trained, surrogate="gaussian", seed=1)
    thetas = table["threshold"].to_pylist() + again["threshold"].to_pylist()
    assert len(set(thetas)) == len(thetas)


def test_the_gaussian_null_is_the_same_draw_for_every_rule_alpha_and_quantile(trained):
    table = grokcrit.avalanche(
        trained, surrogate="gaussian", rule=("diffuse", "reset"), alpha=(0.1, 0.5)
    )
    by_key = {}
    for row in table.to_pylist():
        by_key.setdefault(tuple(row[k] for k in KEY), set()).add(row["threshold"])
    assert {len(thetas) for thetas in by_key.values()} == {1}


def test_the_gaussian_null_is_standard_normal():
    table = grokcrit.train(hidden=(300,), seeds=2, epochs=20)
    null = grokcrit.avalanche(table, surrogate="gaussian", quantile=(50, 90, 97.5))
    for q in (50, 90, 97.5):
        thetas = null.filter(pc.equal(null["quantile"], q))["threshold"].to_numpy()
        wanted = stats.norm.ppf(0.5 + q / 200)
        error = np.sqrt(q / 100 * (1 - q / 100) / 1201) / (2 * stats.norm.pdf(wanted))
        assert np.abs(thetas - wanted).max() < 5 * error
        assert thetas.std() > error / 5


# --- inputs -----------------------------------------------------------------------------------


def test_threads_and_the_pieces_a_table_comes_in_change_no_bit(trained, avalanches, monkeypatch):
    options = {"surrogate": ("none", "gaussian")}
    assert bare(grokcrit.avalanche(trained, threads=1, **options)).equals(bare(avalanches))
    widths = sorted(set(trained["width"].to_pylist()))
    parts = [grokcrit.train(hidden=(w,), seeds=3, epochs=120) for w in widths]
    assert bare(grokcrit.avalanche(parts[::-1], threads=2, **options)).equals(bare(avalanches))
    monkeypatch.setattr(stage, "CHUNK", 1)
    assert bare(grokcrit.avalanche(trained, **options)).equals(bare(avalanches))


def test_files_and_folders_give_what_tables_in_memory_give(tmp_path, trained, avalanches):
    from grokcrit.tables.reading import split
    from grokcrit.tables.writing import write

    write(tmp_path / "all.parquet", split(trained, ["width", "seed"]), trained.schema)
    found = grokcrit.avalanche(tmp_path / "all.parquet", surrogate=("none", "gaussian"), threads=2)
    assert bare(found).equals(bare(avalanches))


def test_the_input_table_is_not_changed(trained):
    before = trained["gradient"].to_pylist()
    grokcrit.avalanche(trained)
    assert trained["gradient"].to_pylist() == before


def test_two_cases_are_kept_apart(trained):
    other = grokcrit.train(hidden=(3, 5), seeds=2, epochs=30, alpha=0.1, label="weak")
    joint = grokcrit.avalanche([trained, other])
    alphas = {(r["case"], r["alpha"]) for r in joint.to_pylist()}
    assert alphas == {(trained["case"][0].as_py(), 0.3), ("weak", 0.1)}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_named_by_run_and_epoch(trained, bad):
    def spoil(row, g):
        if (row["width"], row["seed"], row["epoch"]) == (8, 1, 30):
            g[5] = bad
        return g

    for surrogate in ("none", "gaussian"):
        with pytest.raises(TableError, match=r"width 8, seed 1, epoch 30 holds") as caught:
            grokcrit.avalanche(with_gradients(trained, spoil), surrogate=surrogate)
        assert trained["case"][0].as_py() in str(caught.value)


def test_a_null_inside_a_gradient_is_named_by_run_and_epoch(trained):
    values = trained["gradient"].to_pylist()
    values[10][3] = None
    table = trained.set_column(
        trained.schema.get_field_index("gradient"),
        "gradient",
        pa.array(values, pa.list_(pa.float64())),
    )
    with pytest.raises(TableError, match="width 3, seed 0, epoch 10"):
        grokcrit.avalanche(table)


@pytest.mark.parametrize("change", [lambda g: g[:-1], lambda g: [*g, 0.0], lambda g: []])
def test_a_gradient_of_another_length_is_named_with_both_lengths(trained, change):
    def spoil(row, g):
        return change(g) if (row["width"], row["seed"], row["epoch"]) == (5, 2, 70) else g

    with pytest.raises(
        TableError, match=r"width 5, seed 2, epoch 70 has \d+ entries, n_params is 21"
    ):
        grokcrit.avalanche(with_gradients(trained, spoil))


def test_an_all_zero_gradient_is_a_quiet_avalanche(trained):
    quiet = with_gradients(trained, lambda row, g: 0 * g if row["epoch"] >= 60 else g)
    for row in grokcrit.avalanche(quiet).to_pylist():
        if row["epoch"] >= 60:
            assert row["threshold"] == 0
            assert (row["size"], row["area"], row["duration"], row["peak"]) == (0, 0, 0, 0)
            assert row["activity"] == []
            assert row["truncated"] is False
        else:
            assert row["size"] > 0


def test_gradients_in_single_precision_cascade_in_single_precision(trained):
    narrow = trained.set_column(
        trained.schema.get_field_index("gradient"),
        "gradient",
        trained["gradient"].cast(pa.list_(pa.float32())),
    )
    table = grokcrit.avalanche(narrow)
    kept = snapshots(trained)
    graphs = {n: naive.adjacency(grokcrit.graph("ba", n, 6, 0)) for n in (13, 21, 33, 49, 81)}
    for row in table.to_pylist():
        g = np.array(kept[tuple(row[k] for k in KEY)]["gradient"], np.float32)
        wanted = naive.cascade(g, graphs[row["n_params"]])
        for name in (*COUNTS, "activity"):
            assert row[name] == wanted[name], name


def test_the_same_snapshot_twice_is_refused_and_named(trained):
    again = grokcrit.train(hidden=(8,), seeds=1, epochs=120)
    with pytest.raises(TableError, match=r"2 times .*width 8, seed 0, epoch 0"):
        grokcrit.avalanche([trained, again])


def test_a_case_the_record_does_not_know_is_refused(trained):
    with pytest.raises(RecordError):
        grokcrit.avalanche(bare(trained))
    renamed = trained.set_column(
        trained.schema.get_field_index("case"), "case", pa.repeat("other", trained.num_rows)
    )
    with pytest.raises(TableError, match="'other'"):
        grokcrit.avalanche(renamed)


def test_a_table_without_any_gradient_is_refused_in_words(trained):
    empty = with_gradients(trained, lambda row, g: g).set_column(
        trained.schema.get_field_index("gradient"),
        "gradient",
        pa.nulls(trained.num_rows, pa.list_(pa.float64())),
    )
    with pytest.raises(EmptyError):
        grokcrit.avalanche(empty)


def test_a_table_of_another_stage_is_refused(avalanches):
    with pytest.raises(TableError, match="stage 'avalanche', not 'train'"):
        grokcrit.avalanche(avalanches)


@pytest.mark.parametrize(
    "bad", [{"alpha": 2}, {"topology": "x"}, {"surrogate": "x"}, {"replicates": 0}, {"degree": 0}]
)
def test_an_option_out_of_its_range_is_refused(trained, bad):
    with pytest.raises(OptionError) as caught:
        grokcrit.avalanche(trained, **bad)
    assert caught.value.name in bad


def test_the_record_holds_the_options_and_the_training(trained, avalanches):
    record = json.loads(avalanches.schema.metadata[b"grokcrit"])
    assert record["schema"] == "avalanche/1"
    assert record["configuration"]["surrogate"] == ["none", "gaussian"]
    assert record["inputs"] == [json.loads(trained.schema.metadata[b"grokcrit"])]
    assert record["cases"].keys() == {trained["case"][0].as_py()}


def test_permute_layers_moves_values_inside_each_tensor_of_the_network(trained, monkeypatch):
    seen = []

    def spy(name, gradient, rng, tensors, out):
        seen.append((len(gradient), tuple(tensors)))
        out[:] = gradient

    monkeypatch.setattr("grokcrit.cascades.counting.make_surrogate", spy)
    grokcrit.avalanche(trained, surrogate="permute-layers", threads=1)
    # W1 (h, 2), b1, W2, b2: N = 4 h + 1.
    assert {n: (n - 1) // 4 for n, _ in seen} == {13: 3, 21: 5, 33: 8, 49: 12, 81: 20}
    assert all(t == (0, (n - 1) // 2, 3 * (n - 1) // 4, n - 1) for n, t in seen)


def test_permute_layers_without_the_record_of_the_tensors_is_refused(trained):
    record = json.loads(trained.schema.metadata[b"grokcrit"])
    del record["widths"]["8"]
    table = trained.replace_schema_metadata({b"grokcrit": json.dumps(record).encode()})
    with pytest.raises(RecordError):
        grokcrit.avalanche(table, surrogate="permute-layers")
    assert grokcrit.avalanche(table, surrogate="permute").num_rows


def test_all_surrogates_can_be_asked_for_in_one_word(trained):
    table = grokcrit.avalanche(trained, surrogate="all")
    assert set(table["surrogate"].to_pylist()) == set(SURROGATES)
    assert grokcrit.avalanche(trained, surrogate=("none", "all")).num_rows == table.num_rows


def test_gaussianize_is_never_replicated_for_it_draws_nothing(trained):
    table = grokcrit.avalanche(trained, surrogate=("gaussianize", "permute"), replicates=2)
    found = {(r["surrogate"], r["replicate"]) for r in table.to_pylist()}
    assert found == {("gaussianize", 0), ("permute", 0), ("permute", 1)}


def test_a_long_run_is_read_a_few_snapshots_at_a_time(tmp_path, monkeypatch):
    """No more rows at once than make a block, whoever wrote the table, and the same avalanches."""
    from pyarrow import parquet

    from grokcrit.stages import avalanche as stage
    from grokcrit.stages import train as training
    from grokcrit.tables import writing
    from grokcrit.tables.schemas import TRAIN
    from grokcrit.tasks.xor import TrainOptions

    monkeypatch.setattr(writing, "GROUP_BYTES", 20_000)
    monkeypatch.setattr(stage, "CHUNK", 2000)
    chosen = TrainOptions(hidden=(60,), seeds=2, epochs=40, snapshot_every=2)
    whole = grokcrit.train(hidden=(60,), seeds=2, epochs=40, snapshot_every=2)
    own, other = tmp_path / "own.parquet", tmp_path / "other.parquet"
    schema = TRAIN.recorded(training.record(chosen))
    writing.write(own, training.tables(chosen), schema)
    parquet.write_table(whole, other, row_group_size=10**6)
    assert parquet.ParquetFile(own).num_row_groups > 4
    assert parquet.ParquetFile(other).num_row_groups == 1
    wanted = grokcrit.avalanche(whole, surrogate=("none", "permute"))
    held = []
    original = stage.gradients_of
    monkeypatch.setattr(
        stage, "gradients_of", lambda run: held.append(run.num_rows) or original(run)
    )
    for path in (own, other):
        assert grokcrit.avalanche(path, surrogate=("none", "permute")).equals(wanted)
    assert max(held) * 241 <= 2000


def test_gaussian_avalanches_on_affine_graphs_are_as_large_as_on_stored_regular_ones():
    """The synthetic control at one size: shares of N that topple, 40 draws on each of 4 graphs."""
    shares = {}
    for topology in ("affine", "random-regular"):
        found = []
        for seed in range(4):
            graph = grokcrit.graph(topology, 1201, 6, seed)
            rng = np.random.default_rng(seed)
            found += [grokcrit.cascade(rng.standard_normal(1201), graph).size for _ in range(40)]
        shares[topology] = np.array(found) / 1201
    a, b = shares.values()
    error = np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    assert abs(a.mean() - b.mean()) < 4 * error
    assert error < 0.002


def with_test_accuracy(table, accuracy):
    place = table.schema.get_field_index("test_accuracy")
    return table.set_column(place, table.schema.field(place), pa.array(accuracy, pa.float64()))


def test_a_grok_accuracy_makes_each_runs_grokking_epoch_the_first_above_it(trained):
    # Width w, seed s passes 0.9 at epoch w + s, but falls below again, and has 0.9 itself before;
    # seed 2 never passes.
    rows = trained.select(["width", "seed", "epoch"]).to_pylist()
    accuracy = [
        None
        if r["epoch"] == 1
        else 0.95
        if r["epoch"] >= r["width"] + r["seed"] and r["epoch"] % 2 == 0 and r["seed"] < 2
        else 0.9
        for r in rows
    ]
    table = with_test_accuracy(trained, accuracy)
    found = grokcrit.avalanche(table, grok_accuracy=0.9, surrogate=("none", "gaussian"))
    for row in found.to_pylist():
        first = row["width"] + row["seed"]
        wanted = None if row["seed"] == 2 else first + first % 2
        assert row["grok_epoch"] == wanted
    plain = grokcrit.avalanche(trained, surrogate=("none", "gaussian"))
    others = [c for c in plain.column_names if c not in ("grok_epoch", "test_accuracy")]
    assert found.select(others).equals(plain.select(others))
    assert found["grok_epoch"].type == plain["grok_epoch"].type
    record = json.loads(found.schema.metadata[b"grokcrit"])
    assert record["configuration"]["grok_accuracy"] == 0.9
    windows = grokcrit.fss(found, resamples=20)["window"].to_pylist()
    assert {"pre", "post", "ungrokked"} <= set(windows)


def test_a_grok_accuracy_without_any_test_accuracy_is_refused(trained):
    table = with_test_accuracy(trained, [None] * trained.num_rows)
    with pytest.raises(EmptyError):
        grokcrit.avalanche(table, grok_accuracy=0.9)


@pytest.mark.parametrize("bad", [-0.1, 1, 90, float("nan")])
def test_a_grok_accuracy_that_is_no_share_is_refused(trained, bad):
    with pytest.raises(OptionError, match="grok_accuracy must be from 0 to below 1"):
        grokcrit.avalanche(trained, grok_accuracy=bad)
