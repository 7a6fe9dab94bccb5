"""``grokcrit.ingest`` of avalanches: every format gives one table, and what is wrong is named."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import (
    ColumnError,
    DamagedError,
    OptionError,
    RepeatedError,
    ShapeError,
    TableError,
    ValuesError,
)
from grokcrit.questions.sizes import summary
from grokcrit.tables import provenance
from tests.unit.others import bare, numbered

NAMES = {"size": "S", "system": "L", "run": "seed"}
KEPT = ("n_params", "seed", "epoch", "size")


def csv(path, header, rows, delimiter=","):
    """Write a table as text."""
    lines = [header, *(delimiter.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def taken(*files, **options):
    """The columns that files of avalanches give."""
    made = grokcrit.ingest(files, avalanches=True, **options)
    return {name: made[name].to_pylist() for name in KEPT}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_format_gives_the_same_avalanches(tmp_path, delimiter):
    """Fault: a format loses rows or their order, by which avalanches are numbered."""
    table = bare()
    rows = [tuple(row.values()) for row in table.to_pylist()]
    wanted = {name: table[name].to_pylist() for name in table.column_names}
    wanted["epoch"] = numbered(table.to_pylist())
    text = csv(tmp_path / "a.csv", delimiter.join(("L", "seed", "S")), rows, delimiter)
    assert taken(text, columns="size=S, system=L,run=seed") == wanted
    pq.write_table(table.rename_columns(["L", "seed", "S"]), tmp_path / "a.parquet")
    assert taken(tmp_path / "a.parquet", columns=NAMES) == wanted
    fields = [("L", "i4"), ("seed", "u2"), ("S", "f8")]
    np.save(tmp_path / "a.npy", np.array(rows, fields))
    assert taken(tmp_path / "a.npy", columns=NAMES) == wanted
    own = csv(tmp_path / "b.csv", delimiter.join(("system", "run", "size")), rows, delimiter)
    assert taken(own) == wanted


def test_what_the_columns_do_not_say_a_path_or_an_option_does(tmp_path):
    """Fault: all files are taken for one run."""
    sizes = {(n, run): [n + run, 2 * n, 0] for n in (16, 32, 64) for run in (3, 4)}
    for (n, run), each in sizes.items():
        np.save(tmp_path / f"L{n}-run{run}.npy", each)
    found = taken(*sorted(tmp_path.glob("*.npy")), pattern="L{size}-run{seed}.npy")
    rows = zip(found["n_params"], found["seed"], found["epoch"], found["size"], strict=True)
    assert sorted(rows) == [
        (*run, k, size) for run, each in sorted(sizes.items()) for k, size in enumerate(each)
    ]
    alone = taken(tmp_path / "L16-run3.npy", size="1k", run_seed=7)
    assert alone["n_params"] == [1000] * 3
    assert alone["seed"] == [7] * 3
    assert alone["size"] == [19, 32, 0]


def test_runs_with_names_are_numbered_in_their_order(tmp_path):
    """Fault: the number of a run depends on which file comes first."""
    one = csv(tmp_path / "one.csv", "system,run,size", [(8, "b", 1), (8, "a", 2)])
    two = csv(tmp_path / "two.csv", "system,run,size", [(8, "c", 3), (8, "a", 4)])
    assert taken(two, one)["seed"] == [2, 0, 1, 0]
    assert taken(one, two)["seed"] == [1, 0, 2, 0]


def test_measured_columns_are_kept_and_the_rest_is_null(tmp_path):
    """Fault: a duration of the file is lost, or one that it has not is 0."""
    path = csv(
        tmp_path / "a.csv",
        "system,run,size,T,hit,list",
        [(8, 0, 6, 3, 2, "1 3 2"), (8, 0, 1, 1, 1, "1")],
    )
    made = grokcrit.ingest(path, avalanches=True, columns="duration=T,area=hit,activity=list")
    assert made["activity"].to_pylist() == [[1, 3, 2], [1]]
    assert made["duration"].to_pylist() == [3, 1]
    assert made["area"].to_pylist() == [2, 1]
    for name in ("peak", "threshold", "alpha", "topology", "grok_epoch", "truncated"):
        assert made[name].null_count == 2, name
    (notice,) = summary(made).warnings
    assert "peak" in notice.text
    assert "area" not in notice.text
    timed = csv(tmp_path / "b.csv", "system,run,size,time", [(8, 0, 6, 30), (8, 0, 1, 20)])
    assert taken(timed)["epoch"] == [30, 20]


def test_the_summary_counts_sizes_runs_and_avalanches(tmp_path):
    path = csv(
        tmp_path / "a.csv",
        "system,run,size",
        [(8, 0, 1), (8, 0, 3), (8, 1, 8), (16, 0, 0), (32, 5, 2)],
    )
    found = summary(grokcrit.ingest(path, avalanches=True))
    assert found.title == "5 avalanches of 3 sizes, 1 to 2 runs each"
    (first, second, _) = found.rows
    assert first == {"N": 8, "runs": 2, "avalanches": 3, "mean size": 4, "largest": 8, "quiet": 0}
    assert second["quiet"] == 1


@pytest.mark.parametrize(
    ("header", "row", "kind", "words"),
    [
        ("x,y,z", "1,2,3", ColumnError, "n_params .*, seed .*, size .* x, y, z"),
        ("system,run,z", "8,0,3", ColumnError, "does not say size"),
        ("system,run,size", "8,0,1.5", ColumnError, "'size' .* int64 cannot"),
        ("system,run,size", "8,0,-3", ValuesError, "'size' is -3 in row 1 .* at least 0"),
        ("system,run,size", "8,0,nan", ValuesError, "'size' is null in row 1"),
        ("system,run,size", "8,0,", ValuesError, "'size' is null in row 1"),
        ("system,run,size", "0,0,3", ValuesError, "'n_params' is 0 in row 1"),
        ("system,run,size", "8,-1,3", ValuesError, "'seed' is -1 in row 1"),
        ("system,run,size", "8,0,many", ColumnError, "'size' has type string"),
        ("system,run,size", "8,0", DamagedError, "not a readable CSV file"),
        ("system,run,size,time", "8,0,2,5", RepeatedError, "same time"),
        ("system,run,size,activity", "8,0,4,1 2", ValuesError, "sums to 3, but size is 4"),
    ],
)
def test_what_no_avalanche_can_be_is_named(tmp_path, header, row, kind, words):
    """Fault: a wrong value is read as a number, or one fault is named where there are several."""
    good = {"system": "8", "run": "0", "size": "1", "time": "5", "activity": "1"}
    first = ",".join(good.get(name, "1") for name in header.split(","))
    (tmp_path / "a.csv").write_text(f"{header}\n{first}\n{row}\n", encoding="utf-8")
    with pytest.raises(kind, match=words):
        grokcrit.ingest(tmp_path / "a.csv", avalanches=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "size"}, "must be as in size=S"),
        ({"columns": "weight=S"}, "must be one of system, .* got 'weight'"),
        ({"columns": "size=S,size=T"}, "says twice"),
        ({"columns": "system=L,n_params=N"}, "says twice"),
        ({"checkpoints": True}, "is not an option of --avalanches"),
        ({"sample": 10}, "is not an option of --avalanches"),
        ({"avalanches": False, "columns": "size=S"}, "add --avalanches"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path, options, words):
    """Fault: an option that changes nothing is accepted in silence."""
    path = csv(tmp_path / "a.csv", "system,run,size", [(8, 0, 1)])
    with pytest.raises(OptionError, match=words):
        grokcrit.ingest(path, **{"avalanches": True, **options})


def test_columns_that_a_file_has_not_are_named_at_once(tmp_path):
    path = csv(tmp_path / "a.csv", "a,b", [(8, 0)])
    with pytest.raises(ColumnError, match="no column 'S', 'L'; it has a, b"):
        grokcrit.ingest(path, avalanches=True, columns="size=S,system=L")


def test_files_of_other_kinds_are_refused(tmp_path):
    np.save(tmp_path / "two.npy", np.ones((3, 2)))
    with pytest.raises(ShapeError, match="flat array of sizes"):
        grokcrit.ingest(tmp_path / "two.npy", avalanches=True, size=8, run_seed=0)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "two.npy").read_bytes()[:40])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "a.txt").write_text("1\n", encoding="utf-8")
    for name in ("cut.npy", "cut.parquet", "a.txt", "none.csv"):
        with pytest.raises(TableError, match=name):
            grokcrit.ingest(tmp_path / name, avalanches=True, size=8, run_seed=0)


def test_the_record_says_where_it_comes_from(tmp_path):
    """Fault: two files are told apart by nothing."""
    path = csv(tmp_path / "a.csv", "L,seed,S", [(8, 0, 1)])
    made = grokcrit.ingest(path, avalanches=True, columns=NAMES, family="oslo", label="mine")
    assert set(made["task"].to_pylist()) == {"oslo"}
    assert set(made["case"].to_pylist()) == {"mine"}
    assert set(made["field"].to_pylist()) == {"avalanche"}
    record = provenance.decode(made.schema.metadata, "it")
    assert record["configuration"]["files"] == [str(path)]
    assert record["configuration"]["columns"] == {"size": "S", "n_params": "L", "seed": "seed"}
    assert set(record["cases"]) == {"mine"}
    assert pa.types.is_int64(made["n_params"].type)
