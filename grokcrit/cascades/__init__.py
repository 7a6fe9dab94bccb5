"""Cascades on a graph: one from Python, many for a table, and their null models."""
