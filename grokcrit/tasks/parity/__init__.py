"""Sparse parity: the product of a few of many bits, one hidden layer; its options and cells."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from grokcrit.base.errors import OptionError
from grokcrit.base.options import option, option_of
from grokcrit.tasks.options import (
    RunOptions,
    Shapes,
    batch_size,
    labels_and_decay,
    labels_of_either,
    weight_decay,
)

# Samples that test, of every cell.
TEST = 1000
# Training samples of the cells with too few: 0 of 60 runs generalise (docs/parity.md).
FEW = 500


@dataclass(frozen=True)
class ParityOptions(RunOptions):
    """Options of sparse parity; by default 60 of 60 runs generalise (docs/parity.md).

    Five widths, 12 seeds. The defaults were chosen by accuracies alone.
    """

    task: str = option_of(RunOptions, "task", "parity", choices=("parity",))
    bits: int = option(40, "Bits of an input", least=1, most=2**15)
    relevant: int = option(3, "Bits whose product is the label", least=1)
    samples: int = option(1000, "Training samples", least=1, most=2**20, decides=True)
    labels: str = labels_of_either()
    weight_decay: float = weight_decay(0.0015)
    probe: str = "shadow"
    hidden: tuple[int, ...] = (60, 110, 200, 350, 640)
    epochs: int = 400
    lr: float = 0.5
    batch: int = batch_size(32)

    def __post_init__(self) -> None:
        """Check every option, and that there are enough inputs."""
        super().__post_init__()
        if self.relevant > self.bits:
            raise OptionError("relevant", f"must be at most {self.bits} bits, got {self.relevant}")
        # Inputs are drawn until so many differ: half of all are found at once.
        needed = (2 * (self.samples + TEST) - 1).bit_length()
        if self.bits < needed:
            raise OptionError(
                "bits",
                f"must be at least {needed} for {self.samples} training and {TEST} test samples "
                f"that differ, got {self.bits}",
            )

    def controlled(self) -> dict[str, dict[str, Any]]:
        """Name the cells of a design of labels, samples and decay: 3 x 2."""
        return labels_and_decay(self, "samples", FEW)

    def shapes(self, width: int) -> Shapes:
        """Weights and biases of the hidden layer, by input, and of the output."""
        return (("W1", (self.bits, width)), ("b1", (width,)), ("W2", (1, width)), ("b2", (1,)))

    def trainer(self) -> ModuleType:
        """Import the kernels."""
        from grokcrit.tasks.parity import training

        return training
