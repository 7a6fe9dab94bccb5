"""``grokcrit simulate`` as typed."""

import json

import pyarrow.parquet as pq
import pytest

import grokcrit as library
from tests.shell import grokcrit, sentence


def test_a_table_of_a_known_system_goes_through_the_fit(tmp_path):
    small = ("--size", "8,16", "--size", "32", "--seeds", "3", "--avalanches", "400")
    done = grokcrit("simulate", "oslo", *small, "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["out"] == "avalanche.parquet"
    assert [row["exact mean"] for row in found["rows"]] == [8.0, 16.0, 32.0]
    table = pq.read_table(tmp_path / "avalanche.parquet")
    expected = library.simulate("oslo", size=(8, 16, 32), seeds=3, avalanches=400)
    assert table.equals(expected)
    grokcrit("fss", "avalanche.parquet", "--observable", "size", "--quiet", cwd=tmp_path)
    fits = pq.read_table(tmp_path / "fss.parquet").to_pandas()
    (mean,) = fits[(fits.window == "aggregate") & (fits.statistic == "mean")].itertuples()
    assert mean.case == "oslo"
    assert mean.ci_low < 1 < mean.ci_high  # <s> = L


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("olso",), "SYSTEM must be one of"),
        (("oslo", "--branching", "1"), "--branching is an option of branching, not of oslo"),
        (("ofc", "--alpha", "0.3"), "--alpha must be above 0 and at most 0.25, got 0.3"),
        (("manna", "--size", "0"), "--size must be a whole number, at least 1, got 0"),
        (
            ("manna", "--size", "a"),
            "--size must be a whole number, or several as 1,2,3 or 1..3; got 'a'",
        ),
        ((), "Missing argument 'SYSTEM'"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2(tmp_path, arguments, said):
    assert said in sentence(grokcrit("simulate", *arguments, cwd=tmp_path, code=2))
    assert not list(tmp_path.iterdir())
