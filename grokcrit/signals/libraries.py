"""Signals that well-kept libraries compute; costly, so measured rarely and not part of ``all``."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Iterator

import numpy as np

from grokcrit.base.imports import everything
from grokcrit.base.rng import stream
from grokcrit.signals.registry import signal
from grokcrit.signals.state import State, UndefinedError, Values

# Both libraries keep global state: random numbers of torch, standard output.
_alone = threading.Lock()
# Draws of a chain, and the pull to where it began: of the order of what devinterp's examples use.
DRAWS, LOCALIZATION = 25, 100.0


@signal(
    "alpha",
    about="exponent of the tail of the weights' eigenvalues, mean over matrices (weightwatcher)",
    source="arXiv 2506.04434",
    needs="weightwatcher",
    costly=True,
)
def alpha(state: State) -> float:
    """Return the mean over weight matrices of weightwatcher's alpha."""
    import torch

    with _alone, quiet(), everything():
        import weightwatcher

        layers = []
        for matrix in state.matrices:
            layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
            layer.weight.data = torch.from_numpy(matrix.astype(np.float32))
            layers.append(layer)
        found = weightwatcher.WeightWatcher(model=torch.nn.Sequential(*layers)).analyze()
    if "alpha" not in found or found["alpha"].isna().all():
        raise UndefinedError
    return float(found["alpha"].mean())


@signal(
    "llc",
    about=f"local learning coefficient by {DRAWS} steps of SGLD (devinterp)",
    source="arXiv 2308.12108",
    needs="devinterp",
    costly=True,
)
def llc(state: State) -> float:
    """Return n beta (mean loss of a chain - loss where it began), n beta = n / ln n.

    The chain alternates between the two sets of data. Its steps are a tenth of what the largest
    eigenvalue of the Hessian would let diverge.
    """
    import torch

    with _alone, everything():
        from devinterp.optim.sgmcmc import SGMCMC

    source, weights = state.source, state.weights
    begin = float(np.mean([source.on_half(half)[0] for half in (0, 1)]))
    n = source.half_size
    n_beta = n / np.log(n)
    steps = 0.1 / (n_beta * largest_eigenvalue(state) + LOCALIZATION)
    parameter = torch.nn.Parameter(torch.from_numpy(weights.astype(np.float32)))
    losses = []
    with _alone, quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream("signals-llc", *source.name, state.epoch).integers(2**31))
        chain = SGMCMC.sgld([parameter], lr=steps, nbeta=n_beta, localization=LOCALIZATION)
        for draw in range(DRAWS):
            loss, gradient = source.on_half(draw % 2, parameter.detach().numpy())
            parameter.grad = torch.from_numpy(gradient.astype(np.float32))
            losses.append(loss)
            chain.step()
    return float(n_beta * (np.mean(losses) - begin))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep a library's prints, warnings and log lines from the terminal."""
    nowhere = io.StringIO()
    logging.getLogger("weightwatcher").setLevel(logging.CRITICAL)
    with (
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def largest_eigenvalue(state: State) -> float:
    """Return the magnitude of the Hessian's largest eigenvalue, by five steps from the last."""
    n = len(state.weights)
    held: list[Values] = state.remembered(
        "llc", lambda: [stream("signals-llc", *state.source.name).standard_normal(n)]
    )
    length = 0.0
    for _ in range(5):
        unit = held[0] / np.linalg.norm(held[0])
        product = state.source.hessian_product(unit).astype(np.float64)
        length = float(np.linalg.norm(product))
        if not np.isfinite(length) or length == 0:
            raise UndefinedError
        held[0] = product
    return length
