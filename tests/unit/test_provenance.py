"""The record a table carries: complete, chained, and checked when it is read."""

import json
import re

import pytest

import grokcrit
from grokcrit.base.errors import DamagedError, GrokcritError, RecordError, TableError
from grokcrit.tables import provenance

LIBRARIES = {"python", "numpy", "numba", "llvmlite", "scipy", "igraph", "pyarrow"}


def record_of(table):
    return json.loads(table.schema.metadata[b"grokcrit"])


def test_the_chain_back_to_train_can_be_read_from_the_last_table_alone(trained, avalanches):
    for last in (
        grokcrit.fss(avalanches, resamples=10),
        grokcrit.bootstrap(avalanches, resamples=10, seed=5),
    ):
        record = record_of(last)
        assert record["inputs"][0] == record_of(avalanches)
        assert record["inputs"][0]["inputs"][0] == record_of(trained)
        assert record["inputs"][0]["inputs"][0]["inputs"] == []
        configuration = record["inputs"][0]["inputs"][0]["configuration"]
        assert configuration["hidden"] == [3, 5, 8, 12, 20]
        assert configuration["alpha"] == 0.3


def test_a_record_holds_what_made_the_table(trained):
    record = record_of(trained)
    assert record["schema"] == "train/1"
    assert record["grokcrit"] == grokcrit.__version__
    assert record["versions"].keys() == LIBRARIES
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["created"])
    assert record["root_seed"] == 0
    case = trained["case"][0].as_py()
    assert record["cases"].keys() == {case}
    assert record["cases"][case]["lr"] == 0.5
    assert "threads" not in json.dumps(record)


def test_every_width_is_mapped_to_its_tensors(trained):
    widths = record_of(trained)["widths"]
    assert widths.keys() == {"3", "5", "8", "12", "20"}
    assert widths["5"] == [
        {"name": "W1", "shape": [5, 2], "offset": 0},
        {"name": "b1", "shape": [5], "offset": 10},
        {"name": "W2", "shape": [1, 5], "offset": 15},
        {"name": "b2", "shape": [1], "offset": 20},
    ]


def test_the_time_of_creation_is_source_date_epoch_where_it_is_set(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert provenance.now() == "2001-09-09T01:46:40+00:00"


def test_a_source_date_epoch_that_is_no_number_is_refused_in_words(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(GrokcritError, match="SOURCE_DATE_EPOCH"):
        provenance.now()


def test_two_equal_runs_differ_in_the_time_of_creation_alone(monkeypatch):
    def made(epoch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(epoch))
        return grokcrit.train(hidden=(3,), seeds=1, epochs=5)

    first, second = made(1), made(2)
    assert first.equals(second)
    a, b = record_of(first), record_of(second)
    assert a.pop("created") != b.pop("created")
    assert a == b


def test_one_case_name_for_two_configurations_is_refused():
    a = grokcrit.train(hidden=(3,), seeds=1, epochs=3, label="x", lr=0.5)
    b = grokcrit.train(hidden=(5,), seeds=1, epochs=3, label="x", lr=0.25)
    with pytest.raises(RecordError):
        grokcrit.avalanche([a, b])


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"{}", b'"x"', b'{"schema": 3}', b'{"schema": "train/1"}', b"\xff\xfe", b"null"],
)
def test_a_damaged_record_is_refused_in_words(trained, text):
    with pytest.raises(DamagedError):
        grokcrit.avalanche(trained.replace_schema_metadata({b"grokcrit": text}))


@pytest.mark.parametrize("cases", [[], "x", {"c": 3}, {"c": []}, None])
def test_a_record_whose_cases_are_no_map_of_maps_is_refused_in_words(trained, cases):
    record = record_of(trained)
    record["cases"] = {trained["case"][0].as_py(): 3} if cases == {"c": 3} else cases
    damaged = trained.replace_schema_metadata({b"grokcrit": json.dumps(record).encode()})
    with pytest.raises(TableError):
        grokcrit.avalanche(damaged)


def test_a_record_with_an_unknown_option_value_is_refused_in_words(trained):
    record = record_of(trained)
    for options in record["cases"].values():
        options["topology"] = "star"
    damaged = trained.replace_schema_metadata({b"grokcrit": json.dumps(record).encode()})
    with pytest.raises(GrokcritError):
        grokcrit.avalanche(damaged)


def test_other_metadata_and_none_at_all_are_no_record():
    assert provenance.decode(None, "x") is None
    assert provenance.decode({b"pandas": b"{}"}, "x") is None
