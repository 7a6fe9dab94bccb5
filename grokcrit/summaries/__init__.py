"""Short accounts of tables for a person or a script, and the warnings that go with them."""

from grokcrit.base.summary import Notice, Summary
from grokcrit.summaries.ingest import ingest_summary
from grokcrit.summaries.stages import RunLog, avalanche_summary, train_summary

__all__ = [
    "Notice",
    "RunLog",
    "Summary",
    "avalanche_summary",
    "ingest_summary",
    "train_summary",
]
