"""Damaged bytes: refused, or read as the very table that was written."""

import mmap
import os
import time

import pytest

from grokcrit.tasks.swept import TABLES
from tests.badinput import mutate
from tests.badinput.samples import MAKERS


def test_every_table_has_a_sample():
    assert list(MAKERS) == list(TABLES)


@pytest.mark.parametrize("stage", TABLES)
def test_no_mutant_is_read_as_another_table(stage):
    found = mutate.search(stage, 300)
    assert found.bad == {}
    assert found.outcomes.total() == 300
    refused = sum(n for name, n in found.outcomes.items() if name.startswith("refused"))
    assert refused + found.outcomes["identical"] == 300
    assert refused > 250


def test_without_its_seal_a_mutant_does_not_harm_its_reader():
    """It may be another table then; neither an error of ours, nor a crash, a hang or gigabytes."""
    found = mutate.search("avalanche", 300, sealed=False)
    assert set(found.bad) <= {"wrong", "record"}


@pytest.mark.slow
@pytest.mark.parametrize("stage", TABLES)
def test_no_mutant_of_many_is_read_as_another_table(stage):
    assert mutate.search(stage, 10_000, seed=1).bad == {}


@pytest.mark.slow
@pytest.mark.parametrize("stage", TABLES)
def test_what_is_read_without_a_seal_does_not_harm_the_stages(stage):
    found = mutate.search(stage, 1000, seed=1, sealed=False, through=True)
    assert set(found.bad) <= {"wrong", "record"}


def test_a_mutant_is_made_again_by_its_number(tmp_path):
    file = mutate.file_of("fss", tmp_path, sealed=True)
    made = [mutate.mutant(file, 0, k)[2] for k in range(50)]
    assert made == [mutate.mutant(file, 0, k)[2] for k in range(50)]
    assert len(set(made)) > 40


def test_what_kills_or_stops_a_reader_is_counted(monkeypatch):
    """The search must see what it looks for, and many addresses held before it change nothing."""
    deeds = {
        1: os.abort,
        2: lambda: time.sleep(60),
        3: lambda: b"x" * (2**28 + 2**26),
        4: lambda: 1 / 0,
    }

    class Fake(mutate.Judge):
        number = -1

        def outcome(self, path):
            self.number += 1
            number = int(path.read_bytes())
            if number in deeds:
                try:
                    held = deeds[number]()
                    del held
                except ZeroDivisionError as error:
                    return f"exception: {error}"
            return "identical"

    monkeypatch.setattr(mutate, "Judge", Fake)
    monkeypatch.setattr(mutate, "PATIENCE", 3)
    monkeypatch.setattr(mutate, "mutant", lambda _file, _seed, k: ("pages", "none", b"%d" % k))
    unused = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, "prot": mmap.PROT_READ}
    with mmap.mmap(-1, mutate.ADDRESSES, **unused):
        found = mutate.search("fss", 8)
    assert found.outcomes == {
        "identical": 4,
        "crash": 1,
        "hang": 1,
        "memory": 1,
        "exception": 1,
    }
    assert sorted(n for numbers in found.bad.values() for n in numbers) == [1, 2, 3, 4]


def test_a_reader_that_cannot_start_is_an_error_of_the_search(monkeypatch):
    """Its child says why and ends: it must not run on as a second copy of the tests."""
    monkeypatch.setattr(mutate, "Judge", None)
    with pytest.raises(RuntimeError, match="TypeError: 'NoneType' object is not callable"):
        mutate.search("fss", 8)
