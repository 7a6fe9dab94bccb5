"""Sweeps: one measurement over many choices, resumed where it stopped, on one machine or many.

``plan`` reads a sweep file and makes its points; ``point`` computes one; ``store`` is the folder;
``local`` and ``cluster`` run the same tasks here or on Dask; ``sweep`` puts them together.
"""
