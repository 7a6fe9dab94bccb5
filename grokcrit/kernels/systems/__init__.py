"""Compiled loops of systems whose exponents are known, one file per system.

Each module has ``start(size, rng, *parameters)``, which returns the state, ``held(state)``, which
returns what the system holds, and ``advance(state, rng, series)``, which makes as many avalanches
as ``series`` has room for. A plain loop with the same generator makes the same avalanches: sites
topple in the order in which they became unstable, and draw random numbers in that order.
"""
