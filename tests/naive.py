"""Oracles: what METHOD.md says, in plain loops, sharing no code with what they check."""

import math

import numpy as np
from scipy import stats

# --- section 2: the cascade -----------------------------------------------------------------


def neighbours_of(edges, n):
    """Adjacency lists of a simple graph, ascending."""
    lists = {i: [] for i in range(n)}
    for a, b in edges:
        lists[a].append(b)
        lists[b].append(a)
    return {i: sorted(found) for i, found in lists.items()}


def adjacency(graph):
    """Adjacency lists read from compressed sparse rows."""
    start, neighbours = graph.indptr.tolist(), graph.indices.tolist()
    return {i: neighbours[start[i] : start[i + 1]] for i in range(len(start) - 1)}


def threshold(gradient, q):
    return np.percentile(np.array([abs(x) for x in gradient]), q)


def topple(g, neighbours, above, alpha, rule):
    """One parallel update of ``g`` in place, in the precision of its entries."""
    real = type(g[0])
    held = {i: g[i] for i in above}
    for i in above:
        if rule == "reset":
            g[i] = real(0)
        elif neighbours[i]:
            g[i] = real(1 - alpha) * held[i]
    for i in above:
        for j in neighbours[i]:
            g[j] = g[j] + real(alpha) * held[i] / real(len(neighbours[i]))


def cascade(gradient, neighbours, alpha=0.3, q=90.0, rule="diffuse", max_steps=20):
    """Dictionary of everything a cascade counts, and the redistributed gradient."""
    g = list(np.array(gradient))
    theta = threshold(g, q)
    activity, ever, transported = [], set(), 0.0
    while len(activity) < max_steps:
        above = [i for i in range(len(g)) if abs(g[i]) > theta]
        if not above:
            break
        step = 0.0
        for i in above:
            if neighbours[i]:
                step += abs(float(type(g[i])(alpha) * g[i]))
        transported += step
        topple(g, neighbours, above, alpha, rule)
        activity.append(len(above))
        ever.update(above)
    return {
        "threshold": float(theta),
        "size": sum(activity),
        "area": len(ever),
        "duration": len(activity),
        "peak": max(activity, default=0),
        "activity": activity,
        "truncated": any(abs(x) > theta for x in g),
        "transported": transported,
        "gradient": np.array(g, np.array(gradient).dtype),
    }


def deviation(redistributed, gradient):
    """||g' - g|| / ||g||."""
    above = math.fsum(
        (float(a) - float(b)) ** 2 for a, b in zip(redistributed, gradient, strict=True)
    )
    return (
        math.sqrt(above) / math.sqrt(math.fsum(float(b) ** 2 for b in gradient)) if above else 0.0
    )


# --- section 3: the network and its runs ----------------------------------------------------

XOR = [((0.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((1.0, 0.0), 1.0), ((1.0, 1.0), 0.0)]
ACTIVATION = {
    "tanh": math.tanh,
    "relu": lambda z: z if z > 0 else 0.0,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
}
DERIVATIVE = {
    "tanh": lambda z: 1 / math.cosh(z) ** 2,
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "sigmoid": lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2,
}


def unpack(weights):
    """W1 row-major (h, 2), b1, W2, b2."""
    h = (len(weights) - 1) // 4
    w1 = [[weights[2 * k], weights[2 * k + 1]] for k in range(h)]
    return h, w1, list(weights[2 * h : 3 * h]), list(weights[3 * h : 4 * h]), weights[4 * h]


def logit(weights, x, activation):
    h, w1, b1, w2, b2 = unpack(weights)
    units = [ACTIVATION[activation](w1[k][0] * x[0] + w1[k][1] * x[1] + b1[k]) for k in range(h)]
    return b2 + sum(w2[k] * units[k] for k in range(h))


def loss(weights, activation, patterns=XOR):
    """Mean of -y ln p - (1 - y) ln(1 - p), p = 1 / (1 + exp(-z)), written without overflow."""
    total = 0.0
    for x, y in patterns:
        z = logit(weights, x, activation)
        wrong = -z if y else z  # softplus of the logit that points to the wrong answer
        total += wrong + math.log1p(math.exp(-wrong)) if wrong > 0 else math.log1p(math.exp(wrong))
    return total / len(patterns)


def accuracy(weights, activation, patterns=XOR):
    right = [(logit(weights, x, activation) > 0) == bool(y) for x, y in patterns]
    return sum(right) / len(right)


def gradient(weights, activation, patterns=XOR):
    """The chain rule, pattern by pattern, parameter by parameter."""
    h, w1, b1, w2, _ = unpack(weights)
    out_w1 = [[0.0, 0.0] for _ in range(h)]
    out_b1, out_w2, out_b2 = [0.0] * h, [0.0] * h, 0.0
    for x, y in patterns:
        z = logit(weights, x, activation)
        p = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
        share = (p - y) / len(patterns)
        out_b2 += share
        for k in range(h):
            pre = w1[k][0] * x[0] + w1[k][1] * x[1] + b1[k]
            out_w2[k] += share * ACTIVATION[activation](pre)
            inner = share * w2[k] * DERIVATIVE[activation](pre)
            out_b1[k] += inner
            out_w1[k][0] += inner * x[0]
            out_w1[k][1] += inner * x[1]
    return np.array([v for row in out_w1 for v in row] + out_b1 + out_w2 + [out_b2])


def gini(values):
    """Mean absolute difference over twice the mean, of the magnitudes."""
    x = [abs(float(v)) for v in values]
    n = len(x)
    return math.fsum(abs(a - b) for a in x for b in x) / (2 * n * math.fsum(x))


def grok_epochs(accuracies):
    """First epoch of accuracy 1; first epoch from which it stays 1 to the end."""
    first = next((t for t in range(len(accuracies)) if accuracies[t] == 1), None)
    for t in range(len(accuracies)):
        if all(a == 1 for a in accuracies[t:]):
            return first, t
    return first, None


# --- sections 1, 3 and 7: windows, statistics, fits -----------------------------------------


def observe(row, observable):
    """An observable of an avalanche; None where it is not defined."""
    activity = row["activity"]
    if observable == "excess":
        return row["size"] - (activity[0] if activity else 0)
    if observable == "branching":
        if not activity:
            return None
        return (activity[1] if len(activity) > 1 else 0) / activity[0]
    if observable == "transported-per-toppling":
        return row["transported"] / row["size"] if row["size"] else None
    return row[observable]


def windows_of(row):
    """The (window, time) pairs an avalanche belongs to."""
    epoch, grok = row["epoch"], row["grok_epoch"]
    found = [("aggregate", None), ("epoch", epoch)]
    if grok is None:
        return [*found, ("ungrokked", None)]
    found.append(("pre" if epoch < grok else "post", None))
    return [*found, ("aligned", math.floor((epoch - grok) / 10) * 10)]


def in_window(rows, window, time=None):
    return [row for row in rows if (window, time) in windows_of(row)]


def all_windows(rows):
    return sorted({w for row in rows for w in windows_of(row)}, key=str)


def by_run(rows, observable):
    """(N, seed) to the observable's values, only where there are any."""
    runs = {}
    for row in rows:
        value = observe(row, observable)
        if value is not None:
            runs.setdefault((row["n_params"], row["seed"]), []).append(value)
    return runs


def statistic(rows, observable, name):
    """N to the statistic; sizes without data are absent."""
    if name == "cutoff":
        first, second = moment(rows, observable, 1), moment(rows, observable, 2)
        return {n: second[n] / first[n] if first[n] else 0.0 for n in first}
    sizes = {}
    for (n, _), values in by_run(rows, observable).items():
        sizes.setdefault(n, []).append(sum(values) / len(values) if name == "mean" else max(values))
    join = max if name == "max" else lambda values: sum(values) / len(values)
    return {n: join(values) for n, values in sizes.items()}


def moment(rows, observable, q):
    """N to the mean over runs of the mean of s^q."""
    sizes = {}
    for (n, _), values in by_run(rows, observable).items():
        sizes.setdefault(n, []).append(math.fsum(v**q for v in values) / len(values))
    return {n: math.fsum(values) / len(values) for n, values in sizes.items()}


def points(sizes):
    """ln N and ln(statistic) of the sizes with a statistic above 0, ascending."""
    used = sorted(n for n, value in sizes.items() if value > 0)
    return [math.log(n) for n in used], [math.log(sizes[n]) for n in used]


def slope(x, y):
    """Least squares, by the textbook sums."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    top = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return top / math.fsum((a - mean_x) ** 2 for a in x)


def lack_of_fit(log_n, heights, variances, counts):
    """Chi^2 of a line through independent heights, and p by Johansen's F, in matrices.

    The hypothesis is that contrasts orthogonal to every line vanish.
    """
    design = np.column_stack([np.ones(len(log_n)), log_n])
    contrasts = np.linalg.svd(design.T)[2][2:]
    v, y = np.diag(variances), np.asarray(heights)
    inverse = np.linalg.inv(contrasts @ v @ contrasts.T)
    chi2 = float(y @ contrasts.T @ inverse @ contrasts @ y)
    p = v @ contrasts.T @ inverse @ contrasts
    a = 0.0
    for k, n in enumerate(counts):
        part = p @ np.diag(np.eye(len(y))[k])
        a += (np.trace(part @ part) + np.trace(part) ** 2) / 2 / (n - 1)
    f = len(y) - 2
    return (
        chi2,
        f,
        float(stats.f.sf(chi2 / (f + 2 * a - 6 * a / (f + 2)), f, f * (f + 2) / (3 * a))),
    )


def misfit(log_n, heights, variances):
    """What scatter beyond the runs' adds to the variance of the least-squares slope."""
    x = np.column_stack([np.ones(len(log_n)), log_n])
    hat = x @ np.linalg.inv(x.T @ x) @ x.T
    rest = np.eye(len(log_n)) - hat
    square = float(heights @ rest @ heights) - float(np.trace(rest @ np.diag(variances)))
    between = max(0.0, square / (len(log_n) - 2))
    return between / float(((log_n - np.mean(log_n)) ** 2).sum())


def exponent(rows, observable, name):
    """Slope of ln(statistic) on ln(N), or None below three sizes."""
    x, y = points(statistic(rows, observable, name))
    return slope(x, y) if len(x) >= 3 else None


def resampled(rows, drawn):
    """The rows of drawn runs: ``drawn`` maps N to positions among its runs, sorted by seed.

    A run drawn twice counts as two runs: the second copy gets a seed of its own.
    """
    out = []
    for n, positions in drawn.items():
        seeds = sorted({row["seed"] for row in rows if row["n_params"] == n})
        for copy, position in enumerate(positions):
            mine = [r for r in rows if r["n_params"] == n and r["seed"] == seeds[position]]
            out += [{**row, "seed": copy} for row in mine]
    return out
