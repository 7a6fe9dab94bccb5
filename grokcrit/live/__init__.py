"""Gradients recorded inside a training loop."""
