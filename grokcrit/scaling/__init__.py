"""Ensembles, windows, fits, the run bootstrap, collapse, tails: arrays in, arrays out."""
