"""Compiled loops. Nothing here imports anything of grokcrit but its neighbours."""
