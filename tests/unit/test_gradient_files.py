"""Gradients in .npy files: the same avalanches as from a table, and what is refused."""

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import OptionError, RepeatedError, TableError


@pytest.fixture
def written(tmp_path):
    """Two files of one length and one of another, float64, float32 and float64."""
    rng = np.random.default_rng(4)
    made = [
        rng.standard_normal(301),
        rng.standard_t(3, 301).astype(np.float32),
        rng.standard_normal(80),
    ]
    paths = [str(tmp_path / f"{k}.npy") for k in range(3)]
    for path, values in zip(paths, made, strict=True):
        np.save(path, values)
    return paths, made


def test_a_file_cascades_as_its_vector_does_in_python(written):
    paths, made = written
    found = grokcrit.avalanche(paths, topology=("ba", "affine"), alpha=0.4, graph_seed=3)
    assert found.num_rows == 6
    for row in found.to_pylist():
        values = made[{(301, 0): 0, (301, 1): 1, (80, 0): 2}[row["n_params"], row["seed"]]]
        graph = grokcrit.graph(row["topology"], len(values), 6, 3)
        alone = grokcrit.cascade(values, graph, alpha=0.4)
        for name in ("size", "area", "duration", "peak", "threshold", "transported", "truncated"):
            assert row[name] == getattr(alone, name)
        assert row["activity"] == alone.activity.tolist()
        assert (row["task"], row["case"], row["epoch"], row["grok_epoch"]) == (
            "npy",
            "npy",
            0,
            None,
        )


def test_surrogates_of_a_file_are_drawn_anew_and_leave_the_file_alone(written):
    paths, made = written
    found = grokcrit.avalanche(paths[0], surrogate=("none", "permute"), replicates=3)
    assert found["replicate"].to_pylist() == [0, 0, 1, 2]
    assert len(set(found["transported"].to_pylist())) == 4
    # A permutation keeps the magnitudes, so the threshold too.
    assert len(set(found["threshold"].to_pylist())) == 1
    np.testing.assert_array_equal(np.load(paths[0]), made[0])


def test_files_stand_beside_tables_and_threads_change_nothing(written):
    paths, _ = written
    train = grokcrit.train(hidden=(8,), seeds=1, epochs=4)
    found = grokcrit.avalanche([train, *paths], threads=1)
    assert set(found["case"].to_pylist()) > {"npy"}
    again = grokcrit.avalanche([train, *paths], threads=2)
    assert found.equals(again)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((3, 3)), "one vector"),
        (np.array(["a"]), "real numbers"),
        (np.array([]), "one vector"),
        (np.append(np.ones(40), np.nan), "nan at entry 40"),
    ],
)
@pytest.mark.parametrize("surrogate", ["none", "gaussianize"])
def test_a_file_without_one_finite_vector_is_named(tmp_path, values, words, surrogate):
    np.save(tmp_path / "g.npy", values)
    with pytest.raises(TableError, match="g.npy") as caught:
        grokcrit.avalanche(tmp_path / "g.npy", surrogate=surrogate)
    assert words in str(caught.value)


def test_the_same_file_twice_is_refused(written):
    with pytest.raises(RepeatedError):
        grokcrit.avalanche([written[0][0], written[0][0]])


def test_tensors_are_not_guessed(written):
    with pytest.raises(OptionError, match="permute-layers"):
        grokcrit.avalanche(written[0], surrogate="permute-layers")
