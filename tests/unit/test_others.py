"""Avalanches of other programs: n_params, seed and size are enough in every stage."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import ColumnError, EmptyError, OptionError, TableError, ValuesError
from grokcrit.plot import NAMES
from grokcrit.report import report
from grokcrit.stages.bootstrap import bootstrap_summary
from grokcrit.stages.diagnose import diagnose_summary
from grokcrit.stages.fss import fss_summary
from grokcrit.stages.plot import figure
from grokcrit.tables.reading import Inputs, by_stage
from grokcrit.tables.schemas import AVALANCHE
from tests.unit import synthetic
from tests.unit.others import bare, numbered

QUICK = {"resamples": 60, "observable": "size"}
TRAINING = re.compile(r"(?i)\b(epochs?|grok(s|ked|king)?|training|gradients?|networks?)\b")


def full(table):
    """The same avalanches as a table of a training in which no run ever groks."""
    rows = table.to_pylist()
    return synthetic.table(
        [
            {**synthetic.row(1, row["seed"], epoch, [row["size"]]), **row, "width": row["n_params"]}
            for row, epoch in zip(rows, numbered(rows), strict=True)
        ]
    )


def comparable(table, *names, **equal):
    """The rows of all avalanches as tuples, whatever their order."""
    for name, value in equal.items():
        table = table.filter(pc.equal(table[name], value))
    return sorted(zip(*(map(str, table[name].to_pylist()) for name in names), strict=True))


def test_the_exponent_is_that_of_a_plain_fit():
    """Fault: avalanches of a run are split, dropped, or weighted otherwise than in a plain mean."""
    table = bare()
    found = grokcrit.fss(table, **QUICK).to_pylist()
    by_size = {}
    for n in sorted(set(table["n_params"].to_pylist())):
        runs = {}
        for row in table.to_pylist():
            if row["n_params"] == n:
                runs.setdefault(row["seed"], []).append(row["size"])
        by_size[n] = [sum(s) / len(s) for s in runs.values()], [max(s) for s in runs.values()]
    x = np.log(list(by_size))
    for statistic, take in (("mean", 0), ("run-max", 1)):
        y = [np.log(np.mean(each[take])) for each in by_size.values()]
        (row,) = [r for r in found if r["statistic"] == statistic]
        assert row["exponent"] == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-12)
        assert row["n_avalanches"] == table.num_rows


def test_every_stage_gives_the_numbers_of_a_full_table():
    """Fault: what is filled in changes a number, or a draw of runs."""
    mine, whole = bare(), full(bare())
    names = "statistic", "exponent", "ci_low", "ci_high", "curvature_p", "n_runs", "n_avalanches"
    one, other = (grokcrit.fss(t, **QUICK) for t in (mine, whole))
    assert comparable(one, *names) == comparable(other, *names, window="aggregate")
    names = "statistic", "kind", "index", "exponent", "ci_low", "ci_high", "draws"
    one, other = (grokcrit.bootstrap(t, **QUICK) for t in (mine, whole))
    trained = other.filter(pc.not_equal(pc.coalesce(other["part"], "none"), "epoch"))
    assert comparable(one, *names) == comparable(trained, *names, window="aggregate")
    only = ("straightness", "collapse", "tails")
    names = "quantity", "statistic", "part", "n_params", "value", "ci_low", "ci_high", "p", "method"
    one, other = (grokcrit.diagnose(t, **QUICK, gof=3, only=only) for t in (mine, whole))
    wanted = {"observable": "size", "window": "aggregate"}
    assert comparable(one, *names, **wanted) == comparable(other, *names, **wanted)


def test_there_is_one_window_and_no_fit_per_avalanche():
    """Fault: the number of an avalanche is taken for a time: as many fits as avalanches."""
    made = grokcrit.fss(bare(), **QUICK), grokcrit.bootstrap(bare(), **QUICK)
    for table in (*made, grokcrit.diagnose(bare(), **QUICK, gof=3)):
        assert set(table["window"].to_pylist()) <= {"aggregate", None}


def test_avalanches_are_counted_within_their_run_through_all_tables(tmp_path):
    """Fault: a run in two files begins anew, and its avalanches are refused as repeated."""
    table = bare()
    pq.write_table(table.slice(0, 101), tmp_path / "a.parquet", row_group_size=17)
    parts = [tmp_path / "a.parquet", table.slice(101)]
    read = Inputs(parts, AVALANCHE).read()
    assert read["epoch"].to_pylist() == numbered(table.to_pylist())
    assert grokcrit.fss(parts, **QUICK).equals(grokcrit.fss(table, **QUICK))


def test_a_column_of_another_name_is_the_size_of_the_system():
    """Fault: --size-column is ignored where there is n_params, too, or not passed on."""
    table = bare()
    own = table.append_column("L", table["n_params"])
    lengths = own.set_column(0, "n_params", pa.array([5] * len(own)))
    with_l = table.rename_columns(["L", "seed", "size"])
    exponents = grokcrit.fss(table, **QUICK)["exponent"]
    asked = grokcrit.diagnose(table, **QUICK, only="straightness")["value"]
    for other in (lengths, with_l):
        assert grokcrit.fss(other, **QUICK, size_column="L")["exponent"].equals(exponents)
        made = grokcrit.diagnose(other, **QUICK, only="straightness", size_column="L")
        assert made["value"].equals(asked)
        assert len(figure("ccdf", other, size_column="L").axes[0].get_lines()) >= 4
    with pytest.raises(OptionError, match="'M', which is no column"):
        grokcrit.fss(with_l, **QUICK, size_column="M")


def test_sizes_beyond_int32_are_sizes():
    table = bare()
    large = pc.multiply(table["n_params"].cast(pa.int64()), 10**9)
    found = grokcrit.fss(table.set_column(0, "n_params", large), **QUICK)
    assert found["n_sizes"].to_pylist() == [4] * 4
    exponent = grokcrit.fss(table, **QUICK)["exponent"]
    assert np.allclose(found["exponent"].to_numpy(), exponent.to_numpy())


def test_missing_columns_are_named_at_once():
    """Fault: one missing column is named, the next one only when that is there."""
    for read in (grokcrit.fss, grokcrit.bootstrap, grokcrit.diagnose):
        with pytest.raises(ColumnError, match="lacks 'n_params' .*'seed'"):
            read(bare().select(["size"]))
    with pytest.raises(ColumnError, match="lacks 'size'"):
        grokcrit.fss(bare().select(["n_params", "seed"]))


def test_a_table_with_a_record_must_have_its_columns(tmp_path):
    """Fault: a table of grokcrit that lost a column is completed with nulls in silence."""
    made = grokcrit.ingest(written(tmp_path), avalanches=True)
    with pytest.raises(ColumnError, match="lacks the column 'threshold'"):
        grokcrit.fss(made.drop_columns("threshold"), **QUICK)
    with pytest.raises(OptionError, match="tables of other programs"):
        grokcrit.fss(made, **QUICK, size_column="size")


def written(folder):
    """A bare table as a file."""
    pq.write_table(bare(), folder / "pile.parquet")
    return folder / "pile.parquet"


def test_a_train_table_that_lost_a_column_is_not_one_of_avalanches():
    """Fault: its size, seed and n_params make it one, and its epochs are pooled."""
    trained = grokcrit.train(task="xor", hidden=(4, 8, 16), seeds=1, epochs=2)
    with pytest.raises(TableError, match="'loss'"):
        by_stage(trained.drop_columns("loss").replace_schema_metadata())


@pytest.mark.parametrize(
    ("activity", "size", "there"),
    [([1, 2, 3], 6, True), ([1, 2, 3], 7, False), ([], 0, True), ([], 1, False), (None, 5, True)],
)
def test_lists_that_do_not_sum_to_their_size_are_refused(activity, size, there):
    """Fault: excess and branching are of one avalanche, the size of another."""
    rows = [{"n_params": n, "seed": 0, "size": 3, "activity": [1, 2]} for n in (4, 8, 16, 32)]
    rows.insert(2, {"n_params": 8, "seed": 0, "size": size, "activity": activity})
    table = pa.Table.from_pylist(rows)
    if there:
        assert grokcrit.fss(table, resamples=20).num_rows
    else:
        with pytest.raises(ValuesError, match=rf"row 2 .* sums to {sum(activity)}, but size is"):
            grokcrit.fss(table, resamples=20)


def test_lists_give_excess_and_branching_without_a_duration():
    """Fault: the second step is taken from the next avalanche where the first has one step."""
    lists = [[1, 3], [2], [1, 1, 1], None]
    rows = [
        {"n_params": n, "seed": 0, "size": 4 if each is None else sum(each), "activity": each}
        for n in (4, 8, 16)
        for each in lists
    ]
    table = pa.Table.from_pylist(rows)
    found = grokcrit.fss(table, resamples=20, observable=("excess", "branching")).to_pylist()
    means = [row for row in found if row["statistic"] == "mean"]
    level = {row["observable"]: np.exp(row["intercept"]) for row in means}
    assert level["excess"] == pytest.approx((3 + 0 + 2) / 3)
    assert level["branching"] == pytest.approx((3 + 0 + 1) / 3)


def test_observables_that_are_not_there_are_left_out_by_default_and_refused_where_asked_for():
    """Fault: an exponent of nothing, or an error that keeps the size from being fitted."""
    for read, summary in (
        (grokcrit.fss, fss_summary),
        (grokcrit.bootstrap, bootstrap_summary),
        (grokcrit.diagnose, diagnose_summary),
    ):
        more = {"gof": 3, "only": "straightness"} if read is grokcrit.diagnose else {}
        made = read(bare(), resamples=20, **more)
        assert set(made["observable"].to_pylist()) == {"size"}
        (notice,) = [each for each in summary(made).warnings if each.id == "absent"]
        assert all(word in notice.text for word in ("excess", "branching", "activity"))
        with pytest.raises(
            OptionError, match="area, duration cannot be measured: .* no area and duration"
        ):
            read(bare(), observable=("size", "area", "duration"))


def test_questions_about_a_training_are_refused_alone_and_silent_among_others():
    with pytest.raises(EmptyError, match="crossings needs .*placebos needs grokking epochs"):
        grokcrit.diagnose(bare(), only=("crossings", "placebos"))
    made = grokcrit.diagnose(bare(), **QUICK, gof=3)
    assert not {"crossing", "placebo-split", "never-grokked"} & set(made["quantity"].to_pylist())


def test_nothing_that_is_said_speaks_of_a_training(tmp_path):
    """Fault: a sandpile never grokked, and has no Gaussian null."""
    table, page = bare(), tmp_path / "report.html"
    made = [
        grokcrit.fss(table, **QUICK),
        grokcrit.bootstrap(table, **QUICK),
        grokcrit.diagnose(table, **QUICK, gof=3),
    ]
    for each, summary in zip(made, (fss_summary, bootstrap_summary, diagnose_summary), strict=True):
        said = summary(each)
        assert not [notice.id for notice in said.warnings if "null" in notice.id]
        assert not TRAINING.search(str(said))
    short = report([table, *made], page)
    assert not short.missing
    # These few avalanches, all cut off at N, do not collapse; the page says so.
    assert all("there is no collapse" in each for each in short.left_out)
    assert {"growth", "straight"} <= {answer.id for answer in short.answers}
    seen = re.sub(r'"data:[^"]*"|<style>.*?</style>', "", page.read_text("utf-8"), flags=re.DOTALL)
    told = seen.partition('id="provenance"')[0]
    assert not TRAINING.search(told), TRAINING.search(told)
    assert "distribution of avalanche sizes" in told


def test_panels_of_sizes_are_drawn_and_others_say_why_not():
    table = bare()
    given = [table, grokcrit.fss(table, **QUICK), grokcrit.bootstrap(table, **QUICK)]
    given.append(grokcrit.diagnose(table, **QUICK, gof=3, only="collapse"))
    for name in ("fig2", "fig3", "ccdf", "leave-one-out"):
        assert name in NAMES
        assert figure(name, given).axes
    for name in ("dimension", "collapses"):
        with pytest.raises(TableError):
            figure(name, given)


def test_grokking_epochs_in_a_bare_table_make_phases():
    """Fault: the phases of someone's own training are dropped because a column was not there."""
    rows = synthetic.regular_rows(3)
    names = ("n_params", "seed", "epoch", "grok_epoch", "size", "activity")
    mine = pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])
    found, wanted = (grokcrit.fss(t, **QUICK) for t in (mine, synthetic.table(rows)))
    names = "statistic", "window", "time", "exponent", "ci_low", "n_avalanches"
    assert comparable(found, *names) == comparable(wanted, *names)
