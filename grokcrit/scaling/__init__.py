"""Ensembles of runs, fits, the run bootstrap, collapse and tails: arrays in, arrays out."""
