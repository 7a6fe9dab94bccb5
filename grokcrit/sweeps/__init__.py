"""One measurement over many choices: plan, points, folder, this machine or Dask.

``plan`` reads a sweep file and makes its points; ``point`` computes one; ``store`` is the folder;
``local`` and ``cluster`` run the same tasks here or on Dask; ``sweep`` puts them together.
"""
