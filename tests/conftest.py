"""What several test files share: the path of the oracles, hypothesis, small tables."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.extras"]
sys.path.insert(0, str(Path(__file__).parent))
# Graphs are kept between the tests, and apart from the user's own.
os.environ["GROKCRIT_CACHE_DIR"] = str(
    Path(tempfile.gettempdir()) / f"grokcrit-tests-{os.getuid()}"
)

settings.register_profile(
    "fixed", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def trained():
    """A small train table: five widths, three seeds, 121 epochs, as the defaults train."""
    import grokcrit

    return grokcrit.train(hidden=(3, 5, 8, 12, 20), seeds=3, epochs=120, threads=2)


@pytest.fixture(scope="session")
def avalanches(trained):
    """Its avalanches, and those of the Gaussian baseline."""
    import grokcrit

    return grokcrit.avalanche(trained, surrogate=("none", "gaussian"), threads=2)
