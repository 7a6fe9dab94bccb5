"""The report in a browser: nothing broken, nothing fetched, nothing wider than the screen."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

import grokcrit
from grokcrit.tables import writing
from tests.browser import chromium
from tests.unit.made_claims import CLAIMS

pytestmark = pytest.mark.browser

WIDTHS = (360, 768, 1440)
SCHEMES = ("light", "dark")
LABEL = "A_label_of_a_case_that_has_no_blank_at_which_a_browser_could_break_the_line_" * 2
# Elements that stick out of the page and do not scroll inside a box of their own. A phone's
# innerWidth grows with what overflows, so the width asked for is what counts.
STICKING_OUT = """
[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll') || e.classList.contains('scroll'))
  .filter(e => e.getBoundingClientRect().right > WIDTH + 0.5)
  .map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 60))
"""
# Contrast of the text of each paragraph, heading, link and cell against the page, as WCAG 2.2
# defines it.
CONTRAST = """
(() => {
  const rgb = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = c => rgb(c).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const page = light(getComputedStyle(document.body).backgroundColor);
  return Math.min(...[...document.querySelectorAll('p,h1,h2,h3,a,th,td,dt,dd,summary,caption')]
    .map(e => light(getComputedStyle(e).color))
    .map(l => (Math.max(l, page) + 0.05) / (Math.min(l, page) + 0.05)));
})()
"""


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    program = chromium.found()
    if program is None:
        pytest.skip("Chromium is not here; 'make test-report' installs Debian's chromium")
    opened = chromium.Chromium(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory) -> Path:
    """A report of everything, a case with a long name in it."""
    folder = tmp_path_factory.mktemp("results")
    trained = grokcrit.train(hidden=(5, 8, 12, 20), seeds=3, epochs=200, label=LABEL)
    found = grokcrit.avalanche(trained, surrogate=("none", "gaussian", "permute", "gaussianize"))
    made = {
        "train": trained,
        "avalanche": found,
        "fss": grokcrit.fss(found, resamples=50),
        "bootstrap": grokcrit.bootstrap(found, resamples=50),
        "diagnostics": grokcrit.diagnose([found, trained], resamples=100, permutations=50),
    }
    for name, table in made.items():
        writing.write(folder / f"{name}.parquet", [table], table.schema)
    (folder / "claims.json").write_text(CLAIMS)
    grokcrit.report.report(folder, folder / "report.html", scale="smoke")
    return folder / "report.html"


@pytest.fixture(params=[(w, s) for w in WIDTHS for s in SCHEMES], ids=lambda p: f"{p[0]}-{p[1]}")
def opened(request, browser, page):
    shown = chromium.Page(browser, page, *request.param)
    yield shown
    if folder := os.environ.get("GROKCRIT_SCREENSHOTS"):
        name = "{}-{}.png".format(*request.param)
        (Path(folder) / name).write_bytes(base64.b64decode(shown.screenshot()))
    shown.close()


def sticking_out(page):
    """The elements that are wider than the screen, and the page itself if it is."""
    found = page.evaluate(STICKING_OUT.replace("WIDTH", str(page.width)))
    wide = page.evaluate("document.documentElement.scrollWidth")
    return found + [f"the page: {wide}"] * (wide > page.width)


def test_the_page_is_sound_in_a_browser(opened):
    images = opened.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
    assert len(images) >= 5  # both views of D(t) and the three figures, at least
    assert all(images), images
    assert sticking_out(opened) == []
    assert opened.complaints() == []
    assert opened.requests() == []
    assert opened.evaluate("document.scripts.length") == 0


def test_nothing_sticks_out_when_every_part_is_opened(opened):
    count = opened.evaluate("document.querySelectorAll('details').length")
    assert count > 5
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert sticking_out(opened) == []


def test_text_stands_out_from_the_page_in_light_and_dark(opened):
    assert opened.evaluate(CONTRAST) >= 4.5


def test_a_page_that_does_wrong_is_found_out(browser, tmp_path):
    """What the checks above are worth: each of them fails on a page made to fail."""
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        "<!DOCTYPE html><body><p style='width:900px;color:#ccc;background:#fff'>x</p>"
        "<img src='data:image/png;base64,AAAA'><script src='http://127.0.0.1:9/x.js'></script>"
        "<script>console.error('no'); throw new Error('no')</script>"
    )
    shown = chromium.Page(browser, wrong, 360, "light")
    assert shown.evaluate("document.images[0].naturalWidth") == 0
    assert len(sticking_out(shown)) == 2
    assert len(shown.complaints()) >= 2
    assert shown.requests() == ["http://127.0.0.1:9/x.js"]
    shown.close()
