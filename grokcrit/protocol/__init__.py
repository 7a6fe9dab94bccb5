"""The early-warning protocol: runs, controls, detectors, scores (docs/early-warning.md)."""
