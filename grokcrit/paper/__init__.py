"""arXiv 2604.04655: its values, its claims, and `reproduce`, which runs every stage."""
