"""Tables in Parquet: schemas, reading, writing, provenance."""
