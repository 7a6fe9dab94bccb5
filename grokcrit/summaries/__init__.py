"""Accounts of claims and sweeps."""

from grokcrit.summaries.stages import claims_summary
from grokcrit.summaries.sweep import sweep_summary

__all__ = ["claims_summary", "sweep_summary"]
