"""XOR: two inputs, one hidden layer, four patterns; its options and what they choose from."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from grokcrit.base.errors import OptionError
from grokcrit.base.options import check_choice, option, option_of
from grokcrit.tasks.options import RunOptions, Shapes

# In the order of the kernel's numbers.
ACTIVATIONS = ("tanh", "relu", "sigmoid")
GINI_OF = ("output", "first", "all", "gradient")
# Functions of two bits, and their values at (0, 0), (0, 1), (1, 0), (1, 1).
TARGETS = {
    "xor": (0.0, 1.0, 1.0, 0.0),
    "xnor": (1.0, 0.0, 0.0, 1.0),
    "and": (0.0, 0.0, 0.0, 1.0),
    "or": (0.0, 1.0, 1.0, 1.0),
    "first": (0.0, 0.0, 1.0, 1.0),
    "constant": (1.0, 1.0, 1.0, 1.0),
}
INITS = ("uniform", "xavier", "he", "normal")


def written_init(init: str) -> str:
    """Write an initialisation in the one way in which tables hold it: ``normal:0.5``."""
    name, sigma = init_scale(init)
    return name if name != "normal" else f"normal:{sigma!r}".removesuffix(".0")


def init_scale(init: str) -> tuple[str, float]:
    """Split an initialisation into its name and its sigma (``normal:0.5``; 1 where not given)."""
    found = re.fullmatch(r"normal:([0-9.eE+-]+)", init)
    if found:
        try:
            sigma = float(found[1])
        except ValueError:
            sigma = math.nan
        if math.isfinite(sigma) and sigma > 0:
            return "normal", sigma
        raise OptionError("init", f"needs a sigma above 0 after 'normal:', got {found[1]!r}")
    check_choice("init", init, INITS)
    return init, 1.0


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """Options of a training on XOR (METHOD, sections 3 and 4)."""

    task: str = option_of(RunOptions, "task", "xor", choices=("xor",))
    target: str = option(
        "xor",
        "Function of two bits that is learnt; all but xor and xnor are linearly separable",
        choices=tuple(TARGETS),
        added=True,
        decides=True,
        learnable=("xor", "xnor"),
    )
    activation: str = option("tanh", "Activation of the hidden units", choices=ACTIVATIONS)
    init: str = option(
        "uniform",
        "Initialisation: uniform, xavier, he, normal; normal:0.5 for sigma 0.5",
        choices=INITS,
        parse=written_init,
    )
    gini_of: str = option("output", "Weights of the Gini coefficient", choices=GINI_OF)

    def __post_init__(self) -> None:
        """Check every option."""
        super().__post_init__()
        if self.after_grok is not None:  # a run has grokked when its accuracy stays 1 to the end
            raise OptionError("after_grok", "is not an option of --task xor")

    def shapes(self, width: int) -> Shapes:
        """Weights and biases of the hidden layer and of the output, 4 h + 1 in all."""
        return (("W1", (width, 2)), ("b1", (width,)), ("W2", (1, width)), ("b2", (1,)))

    def controlled(self) -> dict[str, dict[str, Any]]:
        """Name a cell after each target."""
        if self.target != "xor":
            raise OptionError("controls", "trains every --target; leave --target out")
        return {target: {"target": target} for target in TARGETS}

    def trainer(self) -> ModuleType:
        """Import the kernels."""
        from grokcrit.tasks.xor import training

        return training
