"""One self-contained page about any tables: verdict, figures, tables, provenance.

Read it from the outside in: ``page`` gathers what the page says and ``page.html.jinja`` writes it;
``verdict`` turns numbers into answers by stated rules; ``figures`` draws, and describes in words
what is drawn; ``origin`` says where all of it comes from; ``inputs`` finds and reads the files.
"""

from __future__ import annotations

from grokcrit.report.page import Report, report

__all__ = ["Report", "report"]
