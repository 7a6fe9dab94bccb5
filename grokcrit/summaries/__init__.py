"""Short accounts of tables for a person or a script, and the warnings that go with them."""

from grokcrit.base.summary import Notice, Summary
from grokcrit.summaries.diagnose import diagnose_summary
from grokcrit.summaries.ingest import ingest_summary
from grokcrit.summaries.robustness import robustness_summary
from grokcrit.summaries.stages import (
    RunLog,
    avalanche_summary,
    bootstrap_summary,
    claims_summary,
    fss_summary,
    train_summary,
)
from grokcrit.summaries.sweep import sweep_summary

__all__ = [
    "Notice",
    "RunLog",
    "Summary",
    "avalanche_summary",
    "bootstrap_summary",
    "claims_summary",
    "diagnose_summary",
    "fss_summary",
    "ingest_summary",
    "robustness_summary",
    "sweep_summary",
    "train_summary",
]
