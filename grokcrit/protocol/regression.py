"""What hyperparameters alone tell of the grokking epoch: a regression, each seed left out."""

from __future__ import annotations

import numpy as np

from grokcrit.protocol.designs import Watch
from grokcrit.scaling.ensembles import Reals
from grokcrit.tasks.draws import drawn


def features_of(watch: Watch) -> Reals | None:
    """Return the logarithms of the hyperparameters of each run, (R, P), and a column of ones.

    Those are numbers in which the base runs differ. A hyperparameter that is 0 in some base run is
    taken as it is; one that is 0 in a control alone has no logarithm there (NaN). None where base
    runs do not differ, or there are too few of them for a regression.
    """
    options = []
    for case, row in watch.place:
        runs = watch.runs[case]
        own = drawn(runs.options, int(runs.seed[row])) | {"width": int(runs.width[row])}
        options.append({k: v for k, v in own.items() if type(v) in (int, float)})
    base = [each for each, leads in zip(options, watch.base, strict=True) if leads]
    names = [name for name in base[0] if len({each.get(name) for each in base}) > 1]
    if not names or len(base) < len(names) + 3:
        return None
    values = np.array([[each.get(name, np.nan) for name in names] for each in options])
    positive = (values[watch.base] > 0).all(axis=0)
    logarithms = np.log(np.where(values > 0, values, np.nan))
    return np.column_stack([np.ones(len(values)), np.where(positive, logarithms, values)])


def predicted(features: Reals, watch: Watch) -> Reals:
    """Return ln of the grokking epoch of each run, regressed on base runs of the other seeds."""
    found = np.full(len(features), np.nan)
    known = watch.base & ~np.isnan(features).any(axis=1)
    for seed in np.unique(watch.seed):
        others, mine = known & (watch.seed != seed), watch.seed == seed
        if others.sum() >= features.shape[1]:
            coefficients = np.linalg.lstsq(
                features[others], np.log(watch.grokked[others]), rcond=None
            )[0]
            found[mine] = features[mine] @ coefficients
    return found
