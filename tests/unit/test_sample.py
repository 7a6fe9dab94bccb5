"""Samples: every place as likely, and each part of the vector the same whoever computes it."""

from collections import Counter

import numpy as np
import pytest

from grokcrit.base.sample import CHUNK, Sample

SIZES = [(12, 4), (7, 5), (20, 19), (10, 10), (1, 1), (3 * CHUNK, 2 * CHUNK + 5)]


@pytest.mark.parametrize(("entries", "count"), SIZES)
def test_parts_of_a_sample_are_those_of_the_whole(entries, count):
    """Would catch a rotation or a chunk that drops, doubles or moves an entry."""
    for seed in range(20 if entries < CHUNK else 1):
        sample = Sample(seed, 3, entries, count)
        whole = sample.places(0, count)
        assert len(set(whole.tolist())) == count
        assert sorted(whole.tolist()) == whole.tolist()
        assert 0 <= whole[0] <= whole[-1] < entries
        for low in {0, entries // 3, entries - 1}:
            assert sample.before(low) == np.sum(whole < low)
            for high in {low, low + 1, entries // 2 + low // 2, entries}:
                part = np.concatenate([[], *sample.within(low, high)])
                assert part.tolist() == whole[(whole >= low) & (whole < high)].tolist()


@pytest.mark.parametrize(("entries", "count"), SIZES[:3])
def test_every_entry_is_as_likely_as_any_other(entries, count):
    """Would catch stretches of unequal length whose ends are not moved about."""
    draws = 4000
    times = Counter()
    for seed in range(draws):
        times.update(Sample(seed, 1, entries, count).places(0, count).tolist())
    share = count / entries
    scatter = np.sqrt(draws * share * (1 - share))
    assert len(times) == entries
    assert max(abs(times[k] - draws * share) for k in range(entries)) < 5 * scatter


def test_a_large_sample_of_a_large_vector_fits_64_bits():
    """Would catch a product of place and count that overflows."""
    sample = Sample(0, 1, 3 * 10**9, 2**31 - 1)
    last = sample.places(2**31 - 6, 2**31 - 1)
    assert (np.diff(last) > 0).all()
    assert last[0] >= 3 * 10**9 - 12
    assert last[-1] < 3 * 10**9
