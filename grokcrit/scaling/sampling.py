"""The scatter of an exponent of i.i.d. Gaussian gradients by sampling alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from grokcrit.scaling.ensembles import Ensemble


def sampling_cv(nulls: Iterable[Ensemble]) -> float:
    """Return the CV of the Gaussian nulls' exponent if all their graphs were equal, to first order.

    sd(D)^2 = sum_k w_k^2 cv_k^2 / n_k: cv_k the relative sd of the size over the n_k independent
    draws of one graph at size N_k, w_k the least-squares weights of ln(N_k).
    """
    variances, exponents = [], []
    for ensemble in nulls:
        sizes, size = ensemble.sizes, ensemble.observe("size")
        at = ensemble.size_of[ensemble.run]
        x = np.log(sizes) - np.log(sizes).mean()
        weight = x / (x**2).sum()
        mean = np.array([size[at == k].mean() for k in range(len(sizes))])
        spread = np.array([size[at == k].std(ddof=1) for k in range(len(sizes))])
        count = np.bincount(at)
        variances.append(((weight * spread / mean) ** 2 / count).sum())
        exponents.append((weight * np.log(mean)).sum())
    return float(np.sqrt(np.mean(variances)) / np.mean(exponents))
