"""`grokcrit sweep` and what shows its table, as a person runs them."""

import json

import pyarrow.parquet as pq
import pytest

from tests.shell import grokcrit, sentence
from tests.sweeps.conftest import SMALL


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the small sweep, made by the command."""
    place = tmp_path_factory.mktemp("command")
    (place / "sweep.toml").write_text(SMALL)
    done = grokcrit("sweep", "sweep.toml", "--threads", "2", cwd=place)
    assert "4 points: 0 were there, 4 computed" in done.stdout
    assert "wrote sweep/sweep.parquet" in done.stderr
    return place


def test_the_same_command_again_computes_nothing(folder):
    done = grokcrit("sweep", "sweep.toml", "--json", cwd=folder)
    assert "4 points: 4 were there, 0 computed" in json.loads(done.stdout)["title"]


def test_a_dry_run_says_how_much_there_is_and_writes_nothing(tmp_path):
    (tmp_path / "sweep.toml").write_text(SMALL)
    done = grokcrit("sweep", "sweep.toml", "--dry-run", "--json", "--threads", "2", cwd=tmp_path)
    (facts,) = json.loads(done.stdout)["rows"]
    counted = {k: facts[k] for k in ("points", "points to compute", "trainings", "runs")}
    assert counted == {"points": 4, "points to compute": 4, "trainings": 2, "runs": 12}
    assert 4 * 10_000 < facts["bytes"] < 4 * 100_000
    assert [p.name for p in tmp_path.iterdir()] == ["sweep.toml"]


def test_a_dry_run_knows_what_is_there_already(folder):
    done = grokcrit("sweep", "sweep.toml", "--dry-run", cwd=folder)
    assert "points there            4" in done.stdout
    assert "points to compute       0" in done.stdout


def test_a_dry_run_counts_points_that_will_fail_and_minds_the_folder(tmp_path):
    text = SMALL.replace("[0.5, 1.0]", "[1e149, 0.5]\nactivation = 'relu'")
    (tmp_path / "sweep.toml").write_text(text)
    done = grokcrit("sweep", "sweep.toml", "--dry-run", cwd=tmp_path)
    assert "points to compute       4" in done.stdout
    (tmp_path / "taken").write_text("")
    done = grokcrit("sweep", "sweep.toml", "--dry-run", "-o", "taken", cwd=tmp_path, code=1)
    assert "cannot make the folder taken: Not a directory" in sentence(done)


def test_points_that_fail_are_told_in_one_sentence_with_exit_code_1(tmp_path):
    text = SMALL.replace("[0.5, 1.0]", "[0.5, 1e149]\nactivation = 'relu'")
    (tmp_path / "sweep.toml").write_text(text)
    done = grokcrit("sweep", "sweep.toml", "--quiet", "--threads", "1", cwd=tmp_path, code=1)
    assert "of 4 points 2 failed" in sentence(done)
    assert "diverged" in done.stderr
    errors = pq.read_table(tmp_path / "sweep/sweep.parquet")["error"]
    assert errors.null_count == len(errors) - 2


def test_a_condition_that_is_there_twice_or_chooses_half_of_the_tables_is_refused(folder):
    for command in (["plot", "sweep"], ["report"]):
        options = ["--where", "lr=0.5", "--where", "lr=1"]
        done = grokcrit(*command, "sweep", *options, cwd=folder, code=2)
        assert "--where says twice what lr must be" in sentence(done)
    grokcrit("train", "--hidden", "4,6,9", "--seeds", "2", "--epochs", "20", cwd=folder)
    options = ["train.parquet", "--where", "lr=0.5", "-o", "half.html"]
    done = grokcrit("report", "sweep", *options, cwd=folder, code=2)
    assert "--where lr is no column of the train table" in sentence(done)
    assert not (folder / "half.html").exists()


@pytest.mark.parametrize(
    "condition", ["lr= 0.5", "train-alpha=0.3", "init=uniform", "hidden=4,6,9", "prime=null"]
)
def test_a_condition_is_written_as_in_a_sweep_file(folder, condition):
    options = ["--where", condition, "-o", "x.svg"]
    grokcrit("plot", "effects", "sweep", *options, cwd=folder)


def test_a_file_that_is_wrong_is_exit_code_2_and_makes_no_folder(tmp_path):
    (tmp_path / "sweep.toml").write_text("[train]\nactivaton = ['tanh']\n")
    done = grokcrit("sweep", "sweep.toml", cwd=tmp_path, code=2)
    assert "sweep.toml: [train] activaton is no option of a sweep; did you mean" in sentence(done)
    assert not (tmp_path / "sweep").exists()


def test_the_figure_of_a_sweep_is_drawn_from_its_folder(folder):
    grokcrit("plot", "sweep", "sweep", "-o", "sweep.pdf", cwd=folder)
    assert (folder / "sweep.pdf").read_bytes().startswith(b"%PDF")


def test_the_report_of_a_sweep_says_where_the_crossing_is(folder):
    grokcrit("report", "sweep", "-o", "sweep.html", cwd=folder)
    page = (folder / "sweep.html").read_text()
    assert "Over a sweep: where does D(t) rise through the Gaussian null?" in page
    assert "Share of the variance between points" in page
    assert "No train table was given" not in page


def test_the_table_of_a_sweep_is_no_input_of_the_stages(folder):
    done = grokcrit("fss", "sweep/sweep.parquet", cwd=folder, code=1)
    assert "is a table of stage 'sweep', not 'avalanche'" in sentence(done)
