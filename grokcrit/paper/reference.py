"""The source's values, each with where it comes from.

Source: P. Wang, "Grokking as Dimensional Phase Transition in Neural Networks", arXiv 2604.04655.
Basis ``s``: stated in the source's surviving text; ``r``: reported by public third-party summaries;
``i``: implied by it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One claim of the source."""

    claim: str
    text: str  # its value, as written
    basis: str  # ``s``, ``r`` or ``i``
    value: float | None = None
    error: float | None = None
    # Whether our defaults were chosen to come near it: agreement is then no evidence.
    calibrated: bool = False

    @property
    def basis_words(self) -> str:
        """Return ``stated`` in the source, ``reported`` by summaries, or ``implied`` by it."""
        return {"s": "stated", "r": "reported", "i": "implied"}[self.basis]


D_BEFORE = Reference("D before grokking", "0.90 +- 0.02", "r", 0.90, 0.02)
D_AFTER = Reference("D after grokking", "1.20 +- 0.02", "r", 1.20, 0.02, calibrated=True)
D_AGGREGATE = Reference("aggregate D", "1.00 +- 0.02", "r", 1.00, 0.02)
GAMMA = Reference("aggregate gamma", "1.15 +- 0.06", "r", 1.15, 0.06, calibrated=True)
SYNTHETIC = Reference("synthetic Gaussian D, mean size", "0.99", "r", 0.99)
SYNTHETIC_CV = Reference("its CV over 5 topologies x 6 graph seeds", "< 0.3 %", "r", 0.003)
GROKKING = Reference("grokking epochs across scales", "12 to 134", "s", calibrated=True)
GINI_HEIGHT = Reference("Gini transient: height", "+25 %", "s", 0.25)
GINI_LENGTH = Reference("Gini transient: length", "about 50 epochs", "s", 50)
GINI_DISTANCE = Reference("Gini transient: distance from grokking", "within 10 epochs", "s", 10)
PEAKS = Reference("bootstrap: pre, post, aggregate", "three narrow peaks, no overlap", "s")
LEAVE_ONE_OUT = Reference("leave-one-out", "both phases robust", "s")
RELAXATION = Reference("steps to relax", "at most 20, typically 10 or fewer", "s")
DEVIATION = Reference("change of the gradient by the cascade", "substantial", "s")
CROSSING_TOPOLOGIES = Reference("crossing on every topology, training gradients", "yes", "s")
CROSSING_SHADOW = Reference("crossing under the shadow probe", "persists", "s")
FITS = Reference("power laws in N", "excellent fits, R^2 near 1", "s")
COLLAPSE = Reference("data collapse of P(S > s)", "with the single exponent D", "s")
QUASI_1D = Reference("dimension before grokking", "quasi-1D", "s")
CCDF = Reference("power-law fit of one CCDF", "unreliable, 1.5 decades a scale", "s")
# The source calls the change of D a transition at grokking. A network that has nothing to
# generalise should then show none.
ONLY = Reference("D changes only where a network generalises", "D marks grokking", "i")
ADDED = Reference("generalising changes D", "D marks grokking", "i")
# Of the companion on Transformers, arXiv 2604.16431.
COMES_DOWN = Reference("ModAdd-59: course of D(t)", "comes down through 1", "r")
UNGROKKED = Reference("ModAdd-59: D of ungrokked runs", "stays above 1", "r")
PARTING = Reference("ModAdd-59: separation of the two", "100 to 200 epochs before grokking", "r")
ELSEWHERE = (COMES_DOWN, UNGROKKED, PARTING)
