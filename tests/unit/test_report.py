"""The report: self-contained, escaped, told in words, the same bytes from the same tables."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import grokcrit
from grokcrit.base.errors import OptionError, TableError
from grokcrit.base.summary import Summary
from grokcrit.report import page as stage
from grokcrit.report import report
from grokcrit.report.figures import Drawn
from grokcrit.report.inputs import OF_CASES
from grokcrit.tables import provenance, writing
from tests.unit.made_claims import CLAIMS
from tests.unit.signals import binormal

# The figures of one training; that of a sweep is in the tests of sweeps, ccdf stands for fig2.
OF_ONE = [each for each in stage.drawings() if each.of not in OF_CASES and each.name != "ccdf"]
NASTY = "<script>alert(1)</script> \"&' <img src=x>"
VOID = {"meta", "link", "img", "br", "hr"}


class Reader(HTMLParser):
    """Reads a page: its tags in balance, its images, links, ids and words."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words, self.headings = [], [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def save(folder, **made):
    folder.mkdir(exist_ok=True)
    for name, table in made.items():
        writing.write(folder / f"{name}.parquet".replace("_", "-"), [table], table.schema)
    return folder


def at_scale(scale, table):
    """A train table whose record names the scale of its reproduction."""
    record = provenance.decode(table.schema.metadata, "here") | {"scale": scale}
    return table.replace_schema_metadata(provenance.encode(record))


@pytest.fixture(scope="module")
def made():
    """The tables of a small experiment whose case has a name made to do harm."""
    trained = grokcrit.train(hidden=(5, 8, 12, 20), seeds=3, epochs=200, label=NASTY, threads=2)
    found = grokcrit.avalanche(trained, surrogate=("none", "gaussian", "permute"), threads=2)
    return {
        "train": trained,
        "avalanche": found,
        "fss": grokcrit.fss(found, resamples=50, observable="size"),
        "bootstrap": grokcrit.bootstrap(found, resamples=50, observable="size"),
        "diagnostics": grokcrit.diagnose(
            [found, trained], resamples=100, permutations=50, observable=("size", "excess")
        ),
    }


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """As `reproduce` leaves it, tables of other experiments beside the main ones."""
    smoke = {"train": at_scale("smoke", made["train"]), "shadow_fss": made["fss"].slice(1)}
    results = save(tmp_path_factory.mktemp("results"), **made | smoke)
    (results / "claims.json").write_text(CLAIMS)
    return results


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """What the report of everything returned, and its page."""
    out = tmp_path_factory.mktemp("out") / "report.html"
    return report(folder, out), out.read_text(encoding="utf-8")


@pytest.fixture
def quick(monkeypatch):
    """Draw nothing: for what has no need of figures."""
    monkeypatch.setattr(stage, "drawings", list)


def test_the_page_holds_all_it_shows_and_fetches_nothing(whole):
    assert whole[1].startswith("<!DOCTYPE html>\n<html")
    page = Reader(whole[1])
    assert page.all("script") == []
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            place = attributes.get(name, "#")
            assert place.startswith(("#", "data:")), (tag, place)
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    style = re.search(r"<style>(.*?)</style>", whole[1], re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_every_figure_is_told_in_words_with_its_numbers(whole, made):
    images = Reader(whole[1]).all("img")
    assert len(images) == len(OF_ONE) - len(whole[0].left_out) >= 5
    for image in images:
        assert len(re.findall(r"\d+\.\d\d", image["alt"])) >= 2, image["alt"]
    after = [
        row["exponent"]
        for row in made["fss"].to_pylist()
        if (row["window"], row["statistic"], row["surrogate"]) == ("aggregate", "mean", "none")
    ]
    told = f"mean size of the data: D {after[0]:.2f} ("
    assert sum(told in image["alt"] for image in images) == 1


def test_links_inside_the_page_lead_to_its_sections(whole):
    page = Reader(whole[1])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(links) == 8
    assert {link[1:] for link in links} <= set(ids)


def test_the_verdict_comes_first_and_sections_follow_in_order(whole):
    headings = Reader(whole[1]).headings
    assert headings[:5] == [
        "Verdict",
        "Terms",
        "Compared with the source",
        "Figures",
        "Exponents",
    ]
    assert headings[-2:] == ["Warnings", "Provenance"]
    assert {"Null models", "Placebos", "Straightness"} <= set(headings)


def test_tables_have_captions_and_headings_with_a_scope(whole):
    page = Reader(whole[1])
    assert len(page.all("table")) == len(page.all("caption")) > 8
    assert {attributes["scope"] for attributes in page.all("th")} == {"col", "row"}


def test_labels_are_text_and_never_tags(whole):
    page = Reader(whole[1])
    assert NASTY in page.words
    assert {"src": "x"} not in page.all("img")


def test_smoke_scale_says_that_its_numbers_mean_nothing(whole):
    assert "Its numbers mean nothing" in Reader(whole[1]).words
    assert whole[0].warnings[0].id == "smoke"


@pytest.mark.parametrize("scale", ["full", None])
def test_no_other_scale_is_taken_for_smoke(made, tmp_path, quick, scale):
    train = at_scale(scale, made["train"]) if scale else made["train"]
    results = save(tmp_path / "own", train=train)
    (results / "claims.json").write_text(CLAIMS)
    assert "smoke" not in {each.id for each in report(results, tmp_path / "r.html").warnings}
    assert report(results, tmp_path / "r.html", scale="smoke").warnings[0].id == "smoke"


def test_the_summary_returned_is_what_the_page_says(whole):
    words = Reader(whole[1]).words
    assert whole[0].answers
    for answer in whole[0].answers:
        assert answer.question in words
        assert all(each in words for each in answer.because)
    assert whole[0].missing == []
    assert not any("fig" in each for each in whole[0].left_out)
    assert any("'grokcrit robustness' makes one" in each for each in whole[0].left_out)
    assert whole[0].length == len(whole[1].encode())


def test_the_page_is_below_its_cap(whole):
    assert whole[0].length < stage.CAP


def test_digests_are_those_of_the_files_and_others_are_only_named(whole, folder):
    words = Reader(whole[1]).words
    for path in folder.iterdir():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (digest in words) == (path.stem != "shadow-fss"), path.name
    assert "of other experiments, not shown here: shadow-fss.parquet" in words


def equal_pages(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        report(folder, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "2023-11-14T22:13:20" in (tmp_path / "a").read_text(encoding="utf-8")


def test_equal_tables_give_equal_bytes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "drawings", lambda: OF_ONE[:1])
    equal_pages(folder, tmp_path, monkeypatch)


@pytest.mark.slow
def test_equal_tables_give_equal_bytes_whatever_is_drawn(folder, tmp_path, monkeypatch):
    equal_pages(folder, tmp_path, monkeypatch)


@pytest.mark.parametrize("lacking", ["train", "avalanche", "fss", "bootstrap", "diagnostics"])
def test_what_is_missing_is_told_with_the_command_that_adds_it(made, tmp_path, quick, lacking):
    there = [table for name, table in made.items() if name != lacking]
    found = report(there, tmp_path / "r.html")
    command = {"diagnostics": "diagnose"}.get(lacking, lacking)
    (told,) = [each for each in found.missing if f"No {lacking} table" in each]
    assert f"'grokcrit {command}" in told
    assert told in Reader((tmp_path / "r.html").read_text(encoding="utf-8")).words


def test_every_stage_alone_makes_a_page(made, tmp_path):
    for name, table in made.items():
        found = report(table, tmp_path / "r.html")
        Reader((tmp_path / "r.html").read_text(encoding="utf-8"))
        assert len(found.missing) >= 4, name
        assert len(found.left_out) >= 3, name


def test_a_figure_that_cannot_be_drawn_is_left_out_with_the_reason(made, tmp_path, monkeypatch):
    two = [d for d in stage.drawings() if d.name in ("nulls", "fig3")][1:]
    monkeypatch.setattr(stage, "drawings", lambda: two)
    found = report([made["train"], made["fss"]], tmp_path / "r.html")
    page = Reader((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert len(page.all("img")) == 1
    assert any("fig3 needs a bootstrap table" in each for each in found.left_out)
    assert all(each in page.words for each in found.left_out)


def test_figures_that_would_make_the_page_too_long_are_left_out_and_named(
    made, tmp_path, monkeypatch
):
    def long(_made, drawing):
        return Drawn(drawing, "data:," + "x" * 1_500_000, "What is seen.")

    monkeypatch.setattr(stage, "draw", long)
    found = report(made["fss"], tmp_path / "r.html")
    assert 4_000_000 < found.length == (tmp_path / "r.html").stat().st_size <= stage.CAP
    assert len(found.left_out) == len(OF_ONE) - 3
    assert all("'grokcrit plot" in each for each in found.left_out)


def test_rows_beyond_a_limit_are_counted(made, tmp_path, quick, monkeypatch):
    summary = Summary("many", [{"n": n} for n in range(stage.SHOWN + 7)])
    monkeypatch.setattr(stage, "summarise", lambda _: {"sweep": summary})
    report(made["fss"], tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Reader(re.search('<section id="sweep".*?</section>', text, re.DOTALL)[0])
    assert len(page.all("tr")) == stage.SHOWN + 1
    assert "7 more rows" in page.words
    assert len(page.all("details")) == 1


def test_several_cases_have_no_verdict_until_one_is_chosen(made, tmp_path, quick):
    alphas = (0.2, 0.3)
    found = grokcrit.avalanche(made["train"], surrogate=("none", "gaussian"), alpha=alphas)
    boot = grokcrit.bootstrap(found, resamples=50, observable="size")
    both = report(boot, tmp_path / "r.html")
    assert both.answers[0].word == "2 cases, no single answer"
    assert "alpha 0.2, 0.3" in both.answers[0].because[0]
    assert "--where alpha=0.2" in both.answers[0].because[0]
    one = report(boot, tmp_path / "r.html", where={"alpha": "0.3"})
    assert "only rows with alpha = 0.3." in (tmp_path / "r.html").read_text(encoding="utf-8")
    alone = report(made["bootstrap"], tmp_path / "r.html")
    # The null's draws belong to the case, so only the data's own numbers are the same, and not p,
    # which is adjusted for the tests against the null.
    own = [re.sub(r", p [^)]*", "", each.answers[0].because[0]) for each in (one, alone)]
    assert own[0] == own[1]
    with pytest.raises(OptionError, match=r"alpha=0\.4 is not in the bootstrap table"):
        report(boot, tmp_path / "r.html", where={"alpha": 0.4})
    with pytest.raises(OptionError, match="lr is no column of the bootstrap table"):
        report(boot, tmp_path / "r.html", where={"lr": 0.4})


def test_tables_of_a_folder_that_cannot_be_told_apart_are_named(made, tmp_path):
    results = save(tmp_path / "own", a=made["fss"], b=made["fss"])
    with pytest.raises(TableError, match=r"several fss tables \(a\.parquet, b\.parquet\)"):
        report(results, tmp_path / "r.html")
    with pytest.raises(TableError, match="the same row"):
        report([results / "a.parquet", results / "b.parquet"], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_the_only_table_of_its_stage_may_have_any_name(made, tmp_path, quick):
    results = save(tmp_path / "own", mine=made["bootstrap"])
    assert report(results, tmp_path / "r.html").answers


def test_tables_in_parts_are_one(made, tmp_path, quick):
    trained = made["train"]
    wide = pa.compute.greater(trained["width"], 8)
    parts = [trained.filter(wide), trained.filter(pa.compute.invert(wide))]
    report(parts, tmp_path / "r.html")
    words = Reader((tmp_path / "r.html").read_text(encoding="utf-8")).words
    assert "12 runs of 4 sizes, N = 21 to 81" in words


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"claim": "x"}]', "\x00"])
def test_damaged_claims_are_refused(made, tmp_path, content):
    results = save(tmp_path / "own", fss=made["fss"])
    (results / "claims.json").write_text(content)
    with pytest.raises(TableError, match=r"claims\.json"):
        report(results, tmp_path / "r.html")


def test_claims_are_escaped_and_plus_minus_is_written(made, tmp_path, quick):
    results = save(tmp_path / "own", fss=made["fss"])
    rows = json.loads(CLAIMS)
    rows[0]["words"] = rows[0]["ours"] = NASTY
    (results / "claims.json").write_text(json.dumps(rows))
    report(results, tmp_path / "r.html")
    page = Reader((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.words.count(NASTY) >= 2
    assert page.all("img") == page.all("script") == []
    assert "0.90 ± 0.02" in page.words


def test_nothing_given_is_nothing_to_report(tmp_path):
    with pytest.raises(TableError, match="nothing to report"):
        report([], tmp_path / "r.html")


def test_the_module_is_there_when_it_is_first_named():
    code = (
        "import grokcrit, sys; assert callable(grokcrit.report.report)\n"
        "assert 'report' in dir(grokcrit)\n"
        "assert not {'jinja2', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_file_that_is_read_beside_the_code_is_part_of_the_package():
    package = Path(grokcrit.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["grokcrit"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    beside = {p for kind in ("jinja", "css", "mplstyle") for p in package.rglob(f"*.{kind}")}
    assert len(beside) == 3
    assert beside <= packed


def test_a_page_about_warnings_alone_answers_their_question(tmp_path):
    """Fault: signals tables of a folder are taken for one experiment, or the answer is of D."""
    made = binormal(seeds=14, size=9.0, m=5, g=45, end=60, every=5)
    pq.write_table(made, tmp_path / "one.parquet")
    pq.write_table(made, tmp_path / "two.parquet")
    table = grokcrit.warn(made, resamples=50)
    pq.write_table(table, tmp_path / "warn.parquet")
    found = report(tmp_path, tmp_path / "r.html")
    (answer,) = found.answers
    assert (answer.id, answer.word) == ("warn", "Yes, some signals")
    page = Reader((tmp_path / "r.html").read_text())
    assert len(page.all("img")) == 1
    assert found.missing == []
