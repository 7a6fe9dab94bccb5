"""diagnose, robustness and the Gini study as a person runs them."""

import json

import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, sentence

GRID = ["--topology", "ba,ring", "--graph-seeds", "2", "--alpha", "0.3", "--quantile", "90"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small chain with three null models."""
    place = tmp_path_factory.mktemp("questions")
    grokcrit("train", "--hidden", "6,10,16,24", "--seeds", "3", "--epochs", "120", cwd=place)
    nulls = ["--surrogate", "none,gaussian,permute,gaussianize"]
    grokcrit("avalanche", "train.parquet", *nulls, cwd=place)
    return place


def test_diagnose_answers_every_question_and_writes_them_down(folder, tmp_path):
    tables = [folder / "avalanche.parquet", folder / "train.parquet"]
    done = grokcrit("diagnose", *tables, "--resamples", "100", "--gof", "2", cwd=tmp_path)
    for title in ("null models", "placebos", "straightness", "D(t)", "collapse", "Gini"):
        assert title in done.stdout
    assert "wrote diagnostics.parquet" in done.stderr
    found = set(pq.read_table(tmp_path / "diagnostics.parquet")["quantity"].to_pylist())
    assert {"fraction-kept", "placebo-split", "bend", "crossing", "tau", "gini-height"} <= found


def test_diagnose_as_json_is_one_object_with_every_table(folder, tmp_path):
    table = folder / "avalanche.parquet"
    quick = ["--resamples", "50", "--only", "nulls,placebos", "--json"]
    done = grokcrit("diagnose", table, *quick, cwd=tmp_path)
    made = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    assert made["title"].startswith("null models")
    assert made["more"][0]["title"].startswith("placebos")
    assert all({"id", "text"} == set(w) for w in made["warnings"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "nuls"], ["--only", "did you mean 'nulls'"]),
        (["--splits", "0"], ["--splits", "at least 1"]),
        (["--splits", "x"], ["--splits", "whole number"]),
        (["--permutations", "0"], ["--permutations"]),
        (["--confidence", "1"], ["--confidence", "between 0 and 1"]),
    ],
)
def test_a_wrong_option_of_diagnose_is_named(folder, tmp_path, options, words):
    done = grokcrit("diagnose", folder / "avalanche.parquet", *options, cwd=tmp_path, code=2)
    assert all(word in sentence(done) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_cannot_be_diagnosed_is_named(folder, tmp_path):
    grokcrit("fss", folder / "avalanche.parquet", "--resamples", "5", "--quiet", cwd=tmp_path)
    said = sentence(grokcrit("diagnose", "fss.parquet", cwd=tmp_path, code=1))
    assert "stage 'fss'" in said
    assert not (tmp_path / "diagnostics.parquet").exists()


@pytest.mark.slow
def test_robustness_makes_a_table_and_its_figure(folder, tmp_path):
    options = [*GRID, "--resamples", "30", "--observable", "size"]
    done = grokcrit("robustness", folder / "train.parquet", *options, cwd=tmp_path)
    assert "topology" in done.stdout
    assert "CV" in done.stdout
    assert (tmp_path / "robustness.png").read_bytes().startswith(b"\x89PNG")
    again = ["--figure", "grid.svg", "--quiet", "-o", "grid.parquet"]
    grokcrit("robustness", folder / "train.parquet", *options, *again, cwd=tmp_path)
    assert "<svg" in (tmp_path / "grid.svg").read_text()[:2000]
    one, two = (pq.read_table(tmp_path / f"{n}.parquet") for n in ("robustness", "grid"))
    assert one.equals(two)


def test_a_figure_that_cannot_be_written_is_known_before_the_table_is_replaced(folder, tmp_path):
    (tmp_path / "old.parquet").write_text("old")
    options = [*GRID, "-o", "old.parquet", "--figure", "nowhere/x.png"]
    done = grokcrit("robustness", folder / "train.parquet", *options, cwd=tmp_path, code=1)
    assert "nowhere/x.png" in sentence(done)
    assert (tmp_path / "old.parquet").read_text() == "old"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--topology", "rings"], ["--topology", "did you mean 'ring'"]),
        (["--graph-seeds", "0"], ["--graph-seeds"]),
        (["--alpha", "0"], ["--alpha"]),
        (["--figure", "grid.gif"], ["--figure", ".png"]),
        (["-o", "x.parquet", "--figure", "x.parquet"], ["--figure"]),
    ],
)
def test_a_wrong_option_of_robustness_is_named(folder, tmp_path, options, words):
    done = grokcrit("robustness", folder / "train.parquet", *options, cwd=tmp_path, code=2)
    assert all(word in sentence(done) for word in words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_gini_study_is_two_commands(tmp_path):
    widths = ["--hidden", "4,8,12", "--seeds", "20", "--epochs", "60"]
    grokcrit("train", *widths, "--no-gradients", cwd=tmp_path)
    done = grokcrit("diagnose", "train.parquet", "--only", "gini", "--json", cwd=tmp_path)
    rows = json.loads(done.stdout)["rows"]
    assert [(r["N"], r["runs"]) for r in rows] == [("all", 60), (17, 20), (33, 20), (49, 20)]
    said = sentence(grokcrit("avalanche", "train.parquet", cwd=tmp_path, code=1))
    assert "--no-gradients" in said
