"""Parquet tables: schemas, reading, checking, writing, seals, provenance."""
