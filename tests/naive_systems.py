"""Oracles of the known systems: their rules in plain loops, importing nothing of grokcrit."""

import itertools
import math

import numpy as np

# --- sandpiles: all unstable sites topple at once, in the order in which they became unstable ---


def counts(steps):
    """Size, area, duration and peak of an avalanche whose steps are lists of sites."""
    sizes = [len(step) for step in steps]
    return sum(sizes), len({i for step in steps for i in step}), len(sizes), max(sizes, default=0)


def bits(rng, wanted):
    """Whole numbers of so many random bits: the lowest of a random number's 53 bits first."""
    while True:
        word = int(rng.random() * 2**53)
        for k in range(53 // wanted):
            yield word >> (k * wanted) & (2**wanted - 1)


def oslo(slopes, thresholds, rng, avalanches):
    """Avalanches of a rice pile, whose lists are changed; sites 0 to L - 1, grains enter at 0."""
    last, coins, found = len(slopes) - 1, bits(rng, 1), []
    for _ in range(avalanches):
        slopes[0] += 1
        steps, unstable = [], [0] if slopes[0] > thresholds[0] else []
        while unstable:
            steps.append(unstable)
            for i in unstable:
                slopes[i] -= 2
                thresholds[i] = 1 + next(coins)
            following = {i: None for i in unstable if slopes[i] > thresholds[i]}
            for i in unstable:
                for j in (i - 1, min(i + 1, last)):
                    if j >= 0:
                        slopes[j] += 1
                        if slopes[j] > thresholds[j]:
                            following[j] = None
            unstable = list(following)
        found.append(counts(steps))
    return found


def sides(site):
    """The neighbours of a site (row, column): above, left, right, below."""
    r, c = site
    return [(r - 1, c), (r, c - 1), (r, c + 1), (r + 1, c)]


def random_site(rng, length):
    place = int(rng.random() * length * length)
    return place // length, place % length


def pile(held, rng, avalanches, full, sent):
    """Avalanches of a lattice of particles by site: ``full`` make a site topple, which sends the
    particles of ``sent(site)``."""
    length, found = math.isqrt(len(held)), []
    for _ in range(avalanches):
        site = random_site(rng, length)
        held[site] += 1
        steps, unstable = [], [site] if held[site] >= full else []
        while unstable:
            steps.append(unstable)
            for i in unstable:
                held[i] -= full
            following = {i: None for i in unstable if held[i] >= full}
            for i in unstable:
                for j in sent(i):
                    if j in held:
                        held[j] += 1
                        if held[j] >= full:
                            following[j] = None
            unstable = list(following)
        found.append(counts(steps))
    return found


def manna(held, rng, avalanches):
    coins = bits(rng, 4)

    def sent(site):
        four = next(coins)
        return sides(site)[four % 4], sides(site)[four // 4]

    return pile(held, rng, avalanches, 2, sent)


def btw(held, rng, avalanches):
    return pile(held, rng, avalanches, 4, sides)


def ofc(stress, alpha, avalanches):
    """Avalanches of a lattice of stresses by site, uniformly driven; Fractions are not rounded."""
    found = []
    for _ in range(avalanches):
        rise = 1 - max(stress.values())
        for i in stress:
            stress[i] += rise
        steps = []
        while unstable := [i for i in stress if stress[i] >= 1]:
            steps.append(unstable)
            passed = {i: alpha * stress[i] for i in unstable}
            for i in unstable:
                stress[i] = 0
            for i in unstable:
                for j in sides(i):
                    if j in stress:
                        stress[j] += passed[i]
        found.append(counts(steps))
    return found


# --- generation by generation -------------------------------------------------------------------


def branching(generations, offspring, rng, trees):
    found = []
    for _ in range(trees):
        alive = [1]
        while len(alive) < generations and (born := int(rng.poisson(offspring * alive[-1]))):
            alive.append(born)
        found.append((sum(alive), sum(alive), len(alive), max(alive)))
    return found


def reed_frost(individuals, rng, epidemics):
    found = []
    for _ in range(epidemics):
        ill = [1]
        while True:
            meets = 1 - math.exp(ill[-1] * math.log(1 - 1 / individuals))
            new = int(rng.binomial(individuals - sum(ill), meets))
            if not new:
                break
            ill.append(new)
        found.append((sum(ill), sum(ill), len(ill), max(ill)))
    return found


def reed_frost_mean(n):
    """Exact mean final size: probabilities of (susceptible, infected), one generation at a time."""
    mean, states = 0.0, {(n - 1, 1): 1.0}
    while states:
        following = {}
        for (s, i), p in states.items():
            escape = (1 - 1 / n) ** i
            for new in range(s + 1):
                chance = p * math.comb(s, new) * (1 - escape) ** new * escape ** (s - new)
                if new == 0:
                    mean += chance * (n - s)
                elif chance > 0:
                    key = s - new, new
                    following[key] = following.get(key, 0.0) + chance
        states = following
    return mean


# --- stationary states, from all transitions ----------------------------------------------------


def stationary(states, after):
    """Solve p = p W, where ``after(state)`` gives the probability of each next state."""
    place = {state: k for k, state in enumerate(states)}
    matrix = np.zeros((len(states), len(states)))
    for state in states:
        for other, p in after(state).items():
            matrix[place[state], place[other]] += p
    assert np.allclose(matrix.sum(axis=1), 1)
    system = np.vstack([matrix.T - np.eye(len(states)), np.ones(len(states))])
    solution = np.linalg.lstsq(system, np.append(np.zeros(len(states)), 1.0), rcond=None)[0]
    return dict(zip(states, solution, strict=True))


def oslo_stationary(length):
    """Probability of each (slope, threshold) of all sites, toppling the first unstable one."""

    def settled(state):
        if all(z <= t for z, t in state):
            return {state: 1.0}
        first = next(k for k, (z, t) in enumerate(state) if z > t)
        found = {}
        for threshold in (1, 2):
            z = [each for each, _ in state]
            t = [each for _, each in state]
            z[first] -= 1 if first == length - 1 else 2
            t[first] = threshold
            for j in (first - 1, first + 1):
                if 0 <= j < length:
                    z[j] += 1
            for end, p in settled(tuple(zip(z, t, strict=True))).items():
                found[end] = found.get(end, 0.0) + p / 2
        return found

    site = [(z, t) for t in (1, 2) for z in range(t + 1)]
    states = list(itertools.product(site, repeat=length))
    return stationary(states, lambda s: settled(((s[0][0] + 1, s[0][1]), *s[1:])))


def manna_stationary(length):
    """Probability of each occupation of a lattice, toppling the first unstable site."""
    sites = list(itertools.product(range(length), repeat=2))
    most = len(sites) + 1
    all_states = [
        state
        for state in itertools.product(range(most + 1), repeat=len(sites))
        if sum(state) <= most
    ]
    place = {state: k for k, state in enumerate(all_states)}
    moves = np.zeros((len(all_states), len(all_states)))
    for state in all_states:
        first = next((k for k, held in enumerate(state) if held > 1), None)
        if first is None:
            continue
        for pair in itertools.product(sides(sites[first]), repeat=2):
            held = list(state)
            held[first] -= 2
            for target in pair:
                if target in sites:
                    held[sites.index(target)] += 1
            moves[place[state], place[tuple(held)]] += 1 / 16
    ends = [state for state in all_states if max(state) < 2]
    settled = np.zeros((len(all_states), len(ends)))
    for k, state in enumerate(ends):
        settled[place[state], k] = 1.0
    settled = np.linalg.solve(np.eye(len(all_states)) - moves, settled)

    def after(state):
        found = dict.fromkeys(ends, 0.0)
        for k in range(len(sites)):
            added = tuple(held + (k == j) for j, held in enumerate(state))
            for end, p in zip(ends, settled[place[added]], strict=True):
                found[end] += p / len(sites)
        return found

    return stationary(ends, after)


def recurrent(length):
    """All states of a BTW lattice that burn: a site does with as many grains as unburnt sides."""
    sites = list(itertools.product(range(length), repeat=2))
    found = []
    for state in itertools.product(range(4), repeat=len(sites)):
        left = dict(zip(sites, state, strict=True))
        while left:
            burning = [i for i in left if left[i] >= sum(j in left for j in sides(i))]
            if not burning:
                break
            for i in burning:
                del left[i]
        else:
            found.append(state)
    return found
