from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import grokcrit

SMALL = ("--hidden", "6,10,16", "--seeds", "2", "--epochs", "120")


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> Path:
    """A folder with the tables of a small experiment, made by the commands."""
    folder = tmp_path_factory.mktemp("chain")
    grokcrit("train", *SMALL, cwd=folder)
    grokcrit("avalanche", "train.parquet", "--surrogate", "none,gaussian", cwd=folder)
    grokcrit("fss", "avalanche.parquet", "--resamples", "200", cwd=folder)
    grokcrit("bootstrap", "avalanche.parquet", "--resamples", "200", cwd=folder)
    return folder
