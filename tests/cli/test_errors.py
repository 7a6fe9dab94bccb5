"""Errors have ids, as warnings do: in Python as an attribute, under --json in an object."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from grokcrit.base import errors
from tests.shell import grokcrit


def test_every_kind_has_an_id_of_its_own():
    """Fault: two kinds of error that a script cannot tell apart."""
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    ids = {kind.__name__: kind.id.fget(kind.__new__(kind)) for kind in kinds}
    assert len(set(ids.values())) == len(kinds)
    assert (ids["DamagedError"], ids["OptionError"]) == ("damaged", "option")


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["fss", "missing.parquet"], 1, "unreadable"),
        (["fss", "empty.parquet"], 1, "empty"),
        (["fss", "cut.parquet"], 1, "damaged"),
        (["fss", "train.parquet"], 1, "stage"),
        (["avalanche", "train.parquet", "--alpha", "2"], 2, "option"),
        (["avalanche", "train.parquet", "--no-such"], 2, "usage"),
        (["avalanche", "shape.npy"], 1, "shape"),
    ],
)
def test_an_error_is_an_object_with_its_id_under_json(chain, tmp_path, arguments, code, name):
    """Fault: a script must match sentences to know what went wrong."""
    (tmp_path / "empty.parquet").touch()
    table = (chain / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(table)
    (tmp_path / "cut.parquet").write_bytes(table[: len(table) // 2])
    np.save(tmp_path / "shape.npy", np.ones((2, 3)))
    done = grokcrit(*arguments, "--json", cwd=tmp_path, code=code)
    error = json.loads(done.stdout)["error"]
    assert error["id"] == name
    assert error["message"] in done.stderr
    assert pq.read_metadata(tmp_path / "train.parquet").num_rows > 0
