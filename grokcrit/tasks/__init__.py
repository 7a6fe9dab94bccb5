"""Tasks: what is trained, with its options, shapes and how one run is trained."""
