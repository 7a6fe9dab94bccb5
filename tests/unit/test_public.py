"""The package from outside: what is public, and that importing it is light."""

import subprocess
import sys

import pytest

import grokcrit


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, grokcrit; "
        "heavy = {'numpy', 'numba', 'igraph', 'scipy', 'pyarrow', 'matplotlib', 'torch'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_there_and_no_others():
    for name in ("graph", "cascade", "train", "ingest", "avalanche", "fss", "bootstrap"):
        assert callable(getattr(grokcrit, name))
        assert name in dir(grokcrit)
    with pytest.raises(AttributeError, match="plotly"):
        _ = grokcrit.plotly


def test_a_submodule_does_not_hide_the_function_of_its_name():
    code = (
        "import grokcrit, grokcrit.stages.train, grokcrit.stages.avalanche; "
        "import grokcrit.cascades.single, grokcrit.sweeps.sweep; "
        "assert callable(grokcrit.train) and callable(grokcrit.avalanche); "
        "assert callable(grokcrit.cascade)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_the_import_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import grokcrit\n"
        "assert callable(grokcrit.avalanche)\n"
        "try:\n"
        "    import grokcrit.torch\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'grokcrit[torch]'" in done.stdout


def test_public_modules_keep_their_names():
    """Fault: a program that names a schema or catches an error no longer imports."""
    from grokcrit.base import errors as base
    from grokcrit.errors import GrokcritError, TableError
    from grokcrit.schemas import AVALANCHE, TABLES

    assert (GrokcritError, TableError) == (base.GrokcritError, base.TableError)
    assert TABLES["avalanche"] is AVALANCHE
