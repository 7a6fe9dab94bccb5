"""Files that others saved: tensors by name, networks, runs."""
