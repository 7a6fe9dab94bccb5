"""The frame of the page: head, style, header with the way to each section, footer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from grokcrit.report import html
from grokcrit.tables import provenance

# Nothing is fetched and nothing runs, whatever a label in a table says.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
# Sections by how their names begin, and what the reader is shown.
NAMES = {
    "verdict": "Verdict",
    "terms": "Terms",
    "claims": "Source against ours",
    "figures": "Figures",
    "sweep": "Sweep",
    "exponents": "Exponents",
    "diagnostics": "Null models, placebos and more",
    "warnings": "Warnings",
    "provenance": "Provenance",
}


def document(parts: Mapping[str, str]) -> str:
    """Put the page together.

    Parameters
    ----------
    parts
        HTML of each section by its name, in order; an empty one is left out.
    """
    style = resources.files("grokcrit.report").joinpath("style.css").read_text(encoding="utf-8")
    title = "grokcrit report: does D change where a network groks?"
    links = []
    for name, words in NAMES.items():
        target = next((p for p in parts if p.startswith(name) and parts[p]), None)
        if target:
            links.append(html.tag("li", html.tag("a", html.text(words), href=f"#{target}")))
    about = (
        "Avalanches in the gradients of a neural network while it learns, and what their growth "
        f"with the network's size says. {provenance.now()[:10]}."
    )
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.text(title)}</title>\n<style>\n{style}</style>\n"
    )
    header = html.tag(
        "header",
        html.tag("h1", "What does D measure?"),
        html.paragraph(about),
        html.tag("nav", html.tag("ul", *links), aria_label="Sections"),
    )
    main = html.tag("main", "\n", *parts.values())
    footer = html.tag("footer", html.paragraph("Made by grokcrit. No script, no network."))
    body = f"{header}\n{main}\n{footer}\n"
    whole = f"<head>\n{head}</head>\n<body>\n{body}</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n{whole}\n</html>\n'
