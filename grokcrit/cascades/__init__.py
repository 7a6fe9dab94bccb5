"""The cascade: one from Python, many for a table; graphs and their cache; null models."""
