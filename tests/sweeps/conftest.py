"""A small sweep, written as a user would."""

import pytest

SMALL = """
[train]
hidden = [[4, 6, 9]]
seeds = 2
epochs = 60
lr = [0.5, 1.0]

[avalanche]
rule = ["diffuse", "reset"]

[fss]
resamples = 50
"""


@pytest.fixture
def write(tmp_path):
    """Write a sweep file and return its path."""

    def written(text, name="sweep.toml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written
