"""One self-contained page about any tables: verdict, figures, tables, provenance.

Read it from the outside in: ``page`` puts the sections together; ``verdict`` turns numbers into
answers by stated rules; ``figures`` draws and tells in words what is drawn; ``origin`` says where
all of it comes from; ``inputs`` decides which files are meant and reads them; ``html`` escapes.
"""

from __future__ import annotations

from grokcrit.report.page import Report, report

__all__ = ["Report", "report"]
