"""The two models, as functions of one flat vector of parameters: its gradient is the gradient."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from grokcrit.base.rng import stream
from grokcrit.tasks.modadd import HEADS, ModaddOptions


def initial_parameters(options: ModaddOptions, width: int, seed: int) -> npt.NDArray[np.float32]:
    """Draw the parameters of a run: a function of (root seed, width, seed) and the model.

    Transformer: embeddings N(0, 1), matrices N(0, 1 / fan_in), biases 0, norms 1. MLP: A and B
    N(0, 1 / 2p), U N(0, 1 / d).
    """
    rng = stream("modadd-weights", options.seed, options.model, options.prime, width, seed)
    parts = []
    for name, shape in options.shapes(width):
        n = math.prod(shape)
        if name.endswith("bias"):
            parts.append(np.zeros(n))
        elif name.startswith("norm"):
            parts.append(np.ones(n))
        else:
            scale = 1 / math.sqrt(shape[-1])
            if name in ("tokens", "positions"):
                scale = 1.0
            elif name in ("A", "B"):
                scale = 1 / math.sqrt(2 * options.prime)
            parts.append(rng.normal(0, scale, n))
    return np.concatenate(parts).astype(np.float32)


class Model:
    """Logits of pairs, from the flat vector of parameters."""

    def __init__(self, options: ModaddOptions, width: int) -> None:
        """Remember the shapes."""
        self.options, self.width = options, width
        self.shapes = options.shapes(width)
        self.sizes = [math.prod(shape) for _, shape in self.shapes]

    def logits(self, flat: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Return the logits, shape (pairs, p), of all parameters and the summands (pairs,)."""
        parts = torch.split(flat, self.sizes)
        tensors = {
            name: part.view(shape) for (name, shape), part in zip(self.shapes, parts, strict=True)
        }
        if self.options.model == "mlp":
            hidden = torch.relu(tensors["A"][a] + tensors["B"][b])
            return functional.linear(hidden, tensors["U"])
        return self._transformer(tensors, a, b)

    def _transformer(self, w: dict[str, Tensor], a: Tensor, b: Tensor) -> Tensor:
        """One pre-norm layer over [a, b, =], read at '='.

        Keys and values are made once for the 2 p + 1 states and gathered.
        """
        p, d = self.options.prime, self.width
        tokens, places = w["tokens"], w["positions"]
        states = torch.cat([tokens[:p] + places[0], tokens[:p] + places[1], tokens[p:] + places[2]])
        normed = functional.layer_norm(states, (d,), w["norm1.weight"], w["norm1.bias"])
        heads = (-1, HEADS, d // HEADS)
        keys = (normed @ w["key"].T).view(heads)
        values = (normed @ w["value"].T).view(heads)
        query = (normed[-1:] @ w["query"].T).view(heads)
        scores = (keys * query).sum(-1) / math.sqrt(d // HEADS)
        seen = torch.stack([a, p + b, torch.full_like(a, 2 * p)], 1)
        weights = scores[seen].softmax(1)
        mixed = (weights[..., None] * values[seen]).sum(1).reshape(-1, d)
        x = states[-1] + mixed @ w["output"].T
        normed = functional.layer_norm(x, (d,), w["norm2.weight"], w["norm2.bias"])
        up = torch.relu(functional.linear(normed, w["up.weight"], w["up.bias"]))
        x = x + functional.linear(up, w["down.weight"], w["down.bias"])
        x = functional.layer_norm(x, (d,), w["norm3.weight"], w["norm3.bias"])
        return functional.linear(x, w["unembedding"])
