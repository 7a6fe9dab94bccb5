"""Modular addition, a + b mod a prime: its options, its recipes, and what the networks hold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice, option, option_of, settle
from grokcrit.tasks.options import (
    RunOptions,
    Shapes,
    batch_size,
    labels_and_decay,
    labels_of_either,
    weight_decay,
)

MODELS = ("transformer", "mlp")
SPLITS = ("pairs", "sym")
HEADS = 4
# Share of the pairs that train in the cells with too few; no run generalises (docs/modadd.md).
FEW = 0.2
# What groks on one core: docs/modadd.md. batch 0: all pairs.
_TRANSFORMER = {"hidden": (32, 48, 64, 96, 128), "epochs": 500, "batch": 512}
_MLP = {"hidden": (120, 192, 340, 680, 1200), "epochs": 500, "lr": 1e-2, "batch": 0}
RECIPES = {
    ("transformer", "pairs"): {**_TRANSFORMER, "lr": 1e-3},
    ("transformer", "sym"): {**_TRANSFORMER, "lr": 3e-3},
    ("mlp", "pairs"): _MLP,
    ("mlp", "sym"): _MLP,
}


@dataclass(frozen=True)
class ModaddOptions(RunOptions):
    """Options of modular addition; ``model`` and ``split`` choose the recipe for what is None."""

    task: str = option_of(RunOptions, "task", "modadd", choices=("modadd",))
    model: str = option("transformer", "Network", choices=MODELS)
    prime: int = option(59, "The modulus", least=3, most=2**15)
    split: str = option(
        "pairs",
        "pairs, or sym: (a, b) and (b, a) on one side, which leaks nothing",
        choices=SPLITS,
    )
    train_fraction: float = option(
        0.8, "Share of the pairs that trains", above=0, below=1, decides=True
    )
    labels: str = labels_of_either()
    weight_decay: float = weight_decay(1.0)
    probe: str = "shadow"
    hidden: tuple[int, ...] = None  # type: ignore[assignment]  # these four: as in the recipe
    epochs: int = None  # type: ignore[assignment]
    lr: float = None  # type: ignore[assignment]
    batch: int = batch_size(None)
    snapshot_window: int | None = option(
        None,
        "Keep gradients of runs that grok only that many epochs around grokking",
        least=1,
        unset="all",
    )

    single: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Take the recipe where nothing was given; check every option."""
        check_choice("model", self.model, MODELS)
        check_choice("split", self.split, SPLITS)
        recipe = RECIPES[self.model, self.split]
        settle(self, **{k: v for k, v in recipe.items() if getattr(self, k) is None})
        super().__post_init__()
        if any(self.prime % k == 0 for k in range(2, math.isqrt(self.prime) + 1)):
            raise OptionError("prime", f"must be a prime, got {self.prime}")
        pairs = self.prime**2 if self.split == "pairs" else self.prime * (self.prime + 1) // 2
        if not 0 < self.training_units(pairs) < pairs:
            side = "train on" if self.train_fraction < 0.5 else "test"
            raise OptionError(
                "train_fraction", f"leaves no pair to {side}: {self.train_fraction:g} of {pairs}"
            )
        odd = [width for width in self.hidden if width % HEADS]
        if self.model == "transformer" and odd:
            raise OptionError("hidden", f"must be a multiple of the {HEADS} heads, got {odd[0]}")

    def controlled(self) -> dict[str, dict[str, Any]]:
        """Name the cells of a design of labels and decay: 3 x 2."""
        return labels_and_decay(self, "train_fraction", FEW)

    def training_units(self, pairs: int) -> int:
        """Return how many of some pairs, ordered or not, train."""
        return round(self.train_fraction * pairs)

    def shapes(self, width: int) -> Shapes:
        """Tensors of the Transformer or of the MLP."""
        p, d = self.prime, width
        if self.model == "mlp":
            return (("A", (p, d)), ("B", (p, d)), ("U", (p, d)))
        return (
            ("tokens", (p + 1, d)),
            ("positions", (3, d)),
            ("norm1.weight", (d,)),
            ("norm1.bias", (d,)),
            ("query", (d, d)),
            ("key", (d, d)),
            ("value", (d, d)),
            ("output", (d, d)),
            ("norm2.weight", (d,)),
            ("norm2.bias", (d,)),
            ("up.weight", (4 * d, d)),
            ("up.bias", (4 * d,)),
            ("down.weight", (d, 4 * d)),
            ("down.bias", (d,)),
            ("norm3.weight", (d,)),
            ("norm3.bias", (d,)),
            ("unembedding", (p, d)),
        )

    def trainer(self) -> ModuleType:
        """Import torch, or say that it is missing."""
        try:
            from grokcrit.tasks.modadd import training
        except ModuleNotFoundError:
            raise OptionError(
                "task", "modadd needs PyTorch; install it with: pip install 'grokcrit[torch]'"
            ) from None
        return training
