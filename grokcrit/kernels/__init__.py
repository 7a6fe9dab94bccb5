"""Compiled loops; they know numpy and numba alone."""
