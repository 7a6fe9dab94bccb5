"""Graphs kept between commands: equal to those made anew, whatever happens to the folder."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from grokcrit.cascades import graph_cache, graphs
from grokcrit.cascades.graph_cache import Recent
from grokcrit.tables import files
from tests import privileges


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKCRIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fresh(*arguments, cache=True):
    graphs._recent = Recent(0)
    return graphs.graph(*arguments, cache=cache)


def equal(a, b):
    return np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)


ASKED = ("erdos-renyi", 301, 6, 2)


@pytest.mark.parametrize("topology", ["ba", "small-world", "erdos-renyi", "random-regular"])
def test_a_graph_from_disk_is_the_one_that_was_made(kept, topology, monkeypatch):
    made = fresh(topology, 301, 6, 2, cache=False)
    assert not kept.exists(), "without the cache nothing is written"
    assert equal(fresh(topology, 301, 6, 2), made)
    assert len(list(kept.glob("*.graph"))) == 1
    monkeypatch.setattr(graphs, "_random", None)  # it cannot be made now
    again = fresh(topology, 301, 6, 2)
    assert equal(again, made)
    assert not again.indices.flags.writeable


@pytest.mark.parametrize("topology", ["ring", "lattice", "affine"])
def test_graphs_that_are_not_stored_are_not_kept(kept, topology):
    fresh(topology, 301, 6, 2)
    assert not kept.exists()


def damaged(path, how):
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    path.write_bytes(
        {"cut": whole[:middle], "flipped": flipped, "empty": b"", "long": whole + b"x"}[how]
    )


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "long"])
def test_a_damaged_file_is_made_again(kept, how):
    made = fresh(*ASKED)
    (path,) = kept.glob("*.graph")
    whole = path.read_bytes()
    damaged(path, how)
    assert equal(fresh(*ASKED), made)
    # What follows the end of a zip is no part of it.
    assert path.read_bytes() == whole + b"x" * (how == "long")


def test_a_change_of_any_byte_is_noticed_or_changes_nothing(kept):
    made = fresh("ba", 21, 2, 0)
    (path,) = kept.glob("*.graph")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 300, replace=False).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        rows = graph_cache.read(path, path.stem)
        # A date or an attribute of the zip means nothing.
        assert rows is None or all(map(np.array_equal, rows, made._rows))


def test_a_changed_entry_is_noticed(kept):
    made = fresh("ba", 21, 2, 0)
    (path,) = kept.glob("*.graph")
    whole, entries = path.read_bytes(), made._rows[1].tobytes()
    first = whole.index(entries)
    for place in range(first, first + len(entries)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert graph_cache.read(path, path.stem) is None


def test_a_folder_that_cannot_be_written_is_done_without(kept):
    kept.mkdir()
    kept.chmod(0o500)
    with privileges.obeyed():
        assert fresh(*ASKED).n == 301
    assert list(kept.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_done_without(kept):
    kept.write_text("a file where the folder should be")
    assert fresh(*ASKED).n == 301
    assert kept.read_text() == "a file where the folder should be"


def test_the_folder_stays_within_its_limit_and_what_was_used_last_stays(kept, monkeypatch):
    for seed in range(4):
        fresh("ba", 301, 6, seed)
    size = next(kept.glob("*.graph")).stat().st_size
    for seed, path in enumerate(sorted(kept.glob("*.graph"))):
        os.utime(path, (seed, seed))
    fresh("ba", 301, 6, 0)  # used again: not the oldest any more
    monkeypatch.setattr(graph_cache, "DISK_LIMIT", 3 * size)
    fresh("ba", 301, 6, 9)
    left = {path.name.split("-")[3] for path in kept.glob("*.graph")}
    assert left == {"0", "3", "9"}


def test_what_is_larger_than_half_the_limit_is_not_kept(kept, monkeypatch):
    monkeypatch.setattr(graph_cache, "DISK_LIMIT", 1000)
    fresh(*ASKED)
    assert not list(kept.glob("*")) if kept.exists() else True


def test_files_of_processes_that_died_are_removed_in_time(kept):
    kept.mkdir()
    old, young = (kept / f".grokcrit-{k:016x}.tmp" for k in range(2))
    foreign = kept / "mine.tmp"
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (time.time() - 2 * files.STALE,) * 2)
    fresh(*ASKED)
    assert not old.exists()
    assert young.exists()
    assert foreign.exists(), "not ours"


def test_processes_that_make_the_same_graph_at_once_all_get_it_whole(kept):
    code = (
        "import grokcrit, hashlib; g = grokcrit.graph('erdos-renyi', 3001, 6, 4);"
        "print(hashlib.sha256(g.indices.tobytes() + g.indptr.tobytes()).hexdigest())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in running}
    assert len(answers) == 1
    assert len(answers.pop()) == 65
    assert [path.suffix for path in kept.iterdir()] == [".graph"]


def test_what_is_held_in_memory_is_bounded_and_made_once_whoever_asks():
    held, made = Recent(10), []

    def make(name):
        made.append(name)
        time.sleep(0.02)
        return name.upper(), 4

    threads = [threading.Thread(target=held.get, args=("a", lambda: make("a"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["a"]
    assert held.get("b", lambda: make("b")) == "B"
    assert held.get("a", lambda: make("a")) == "A"
    held.get("c", lambda: make("c"))  # 12 bytes: b, used longest ago, goes
    assert made == ["a", "b", "c"]
    held.get("a", lambda: make("a"))
    held.get("b", lambda: make("b"))
    assert made == ["a", "b", "c", "b"]


def test_one_thing_larger_than_the_limit_is_held_until_the_next():
    held = Recent(10)
    held.get("large", lambda: ("x", 100))
    assert held.get("large", lambda: pytest.fail("made again")) == "x"


def test_a_file_under_the_name_of_another_graph_is_not_taken_for_it(kept):
    small, large = fresh("ba", 81, 6, 0), fresh("ba", 121, 6, 0)
    paths = {path.name.split("-")[1]: path for path in kept.glob("*.graph")}
    paths["121"].write_bytes(paths["81"].read_bytes())
    assert equal(fresh("ba", 121, 6, 0), large)
    assert equal(fresh("ba", 81, 6, 0), small)
