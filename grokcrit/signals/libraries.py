"""Signals that well-kept libraries compute; costly, so that ``all`` leaves them out."""

from __future__ import annotations
