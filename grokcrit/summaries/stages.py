"""Account of the claims."""

from __future__ import annotations

from collections.abc import Sequence

from grokcrit.base.summary import Notice, Row, Summary
from grokcrit.base.vocabulary import DISAGREE
from grokcrit.questions.notices import warn


def claims_summary(rows: list[Row], columns: Sequence[str], scale: str) -> Summary:
    """Account of a reproduction: the claims beside ours."""
    shown = [{name: row[name] for name in columns} for row in rows]
    warnings = warn("smoke") if scale == "smoke" else []
    odd = [row["words"] for row in rows if row["agrees"] in DISAGREE]
    warnings += [Notice("disagrees", words) for words in odd]
    return Summary("the source beside ours", shown, warnings, details=rows)
