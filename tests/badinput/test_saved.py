"""Damaged files of gradients: read as what they now hold, or refused in one sentence."""

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import TableError
from tests.badinput import saved


@pytest.mark.parametrize("name", [name for name in saved.KINDS if not name.endswith((".pt", "rs"))])
def test_no_mutant_of_a_saved_file_harms_its_reader(name):
    found = saved.search(name, 150)
    assert found.bad == {}
    assert set(found.outcomes) == {"read", "refused"}


EXTRAS = {".safetensors": "safetensors", ".pt": "torch"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.extra(EXTRAS[kind[0]])) if kind[0] in EXTRAS else name
        for name, kind in saved.KINDS.items()
    ],
)
def test_no_mutant_of_many_of_a_saved_file_harms_its_reader(name):
    assert saved.search(name, 3000, seed=1).bad == {}


def test_a_header_that_is_no_python_is_named(tmp_path):
    """numpy hands it to Python's tokenizer, which has an error of its own."""
    path = tmp_path / "x.npy"
    np.save(path, np.ones(50))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"(50,)", b"(50, "))
    with pytest.raises(TableError, match=r"x\.npy is not a readable \.npy file"):
        grokcrit.avalanche(path)


@pytest.mark.parametrize("size", [1e151, 1e300])
def test_a_gradient_too_large_to_reckon_with_is_named(tmp_path, size):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).standard_normal(50) * size)
    with pytest.raises(TableError, match=r"width 50, seed 0.* too large .* at most 1e\+150"):
        grokcrit.avalanche(path)
