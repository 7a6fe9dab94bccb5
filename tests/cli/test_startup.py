"""What each command loads: a library that it does not use would be felt at every call."""

from pathlib import Path

import pytest

SMALL = ["--hidden", "3,5,8", "--seeds", "2", "--epochs", "60"]


@pytest.fixture
def startup(monkeypatch):
    """The lists of the benchmark."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import startup

    return startup


def test_no_command_loads_a_library_that_is_not_on_its_list(startup, tmp_path):
    """Fault: a new import somewhere brings scipy to train, numba to a figure, pandas to all."""
    (train, *others), found = startup.COMMANDS, {}
    small = startup.Command(f"{train.arguments} {' '.join(SMALL)}", train.libraries)
    for command in (small, *others):
        loaded = startup.heavy_of(startup.modules_of(command, tmp_path))
        # A random graph that is not on disk is drawn with igraph.
        found[command.arguments] = {*loaded} - {"igraph", *command.libraries}
    assert not any(found.values()), found
    assert "numba" in loaded  # of the last: what is loaded is seen
