"""The instructions that Python has no word for: compiled and plain agree with what they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokcrit.kernels.accelerate import jit
from grokcrit.kernels.machine import (
    BLOCK,
    copy_block,
    fill_block,
    lowest_bit,
    power_of_two,
    prefetch,
)


@jit
def compiled_lowest_bit(word):
    return lowest_bit(word)


@jit
def compiled_power_of_two(shifted):
    return power_of_two(shifted)


@jit
def prefetched(values, places):
    for k in range(len(places)):
        prefetch(values, places[k])
    return values[0]


@jit
def compiled_copy_block(source, start, target, place):
    copy_block(source, start, target, place)


@jit
def compiled_fill_block(target, place, value):
    fill_block(target, place, value)


@given(st.integers(1, 2**64 - 1))
def test_the_lowest_bit_is_the_number_of_zeros_at_the_end(word):
    wanted = len(f"{word:b}") - len(f"{word:b}".rstrip("0"))
    assert lowest_bit(np.uint64(word)) == wanted
    assert compiled_lowest_bit(np.uint64(word)) == wanted


@pytest.mark.parametrize("k", [0, 1, 2, 52, 64, 66, 1023])
def test_a_power_of_two_is_exact(k):
    shifted = k + 1.5 * 2.0**52
    assert power_of_two(shifted) == 2.0**k
    assert compiled_power_of_two(shifted) == 2.0**k


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_asking_for_memory_ahead_changes_nothing_even_outside_the_array(dtype):
    values = np.arange(5).astype(dtype)
    before = values.copy()
    assert prefetched(values, np.array([0, 4, 5, 10**12], np.uint64)) == 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("copy", [copy_block, compiled_copy_block])
@pytest.mark.parametrize("kinds", [("i4", "u4"), ("i8", "u4"), ("i4", "i8"), ("i8", "i8")])
def test_a_block_is_copied_between_widths_and_touches_nothing_else(kinds, copy):
    source = (2**31 - 1 - np.arange(30)).astype(kinds[0])
    target = np.full(30, 7, kinds[1])
    copy(source, np.uint64(3), target, np.uint64(5))
    wanted = [7] * 5 + [2**31 - 1 - k for k in range(3, 3 + BLOCK)]
    assert target.tolist() == wanted + [7] * (30 - len(wanted))


@pytest.mark.parametrize("fill", [fill_block, compiled_fill_block])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_block_is_filled_and_nothing_else(dtype, fill):
    target = np.arange(30).astype(dtype)
    fill(target, np.uint64(5), dtype(-0.1))
    assert target.tolist() == [*range(5), *[dtype(-0.1)] * BLOCK, *range(5 + BLOCK, 30)]
