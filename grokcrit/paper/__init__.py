"""The source, arXiv 2604.04655: its values, its claims, and what reproduces them."""
