"""Modular addition: the task, the two models that grok on one core, and one run of them."""
