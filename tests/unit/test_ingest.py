"""Saved files become a train table: matched by name, and what does not fit is named."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import EmptyError, OptionError, RepeatedError, TableError
from grokcrit.saved.options import IngestOptions
from grokcrit.stages import ingest as stage
from grokcrit.tables import reading, writing
from grokcrit.tables.schemas import TRAIN

PATTERN = "{family}-{size}-seed{seed}/step{step}.*"
STEPS = (0, 5, 10, 40)


def rows_of(table):
    return {(r["width"], r["seed"], r["epoch"]): r for r in table.to_pylist()}


def record_of(table):
    return json.loads(table.schema.metadata[b"grokcrit"])


def weights(width, seed, step, dtype=np.float32):
    rng = np.random.default_rng([width, seed, step])
    shapes = {"w": (width, 3), "b": (width,), "out.w": (1, width)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def saved(folder, write, ending, dtype=np.float32):
    """Checkpoints of two sizes, two runs each, through a function that writes one file."""
    made = {}
    for width in (4, 7):
        for seed in (0, 1):
            for step in STEPS:
                path = folder / f"toy-{width}-seed{seed}" / f"step{step}{ending}"
                path.parent.mkdir(exist_ok=True)
                made[width, seed, step] = weights(width, seed, step, dtype)
                write(path, made[width, seed, step])
    return sorted(folder.glob("*/*")), made


def write_npz(path, tensors):
    np.savez_compressed(path, **tensors)


def write_safetensors(path, tensors):
    from safetensors.numpy import save_file

    save_file(tensors, path)


def write_pt(path, tensors):
    import torch

    state = {name: torch.from_numpy(values) for name, values in tensors.items()}
    torch.save({"model": state, "step": 3, "rng": torch.zeros(5)}, path)


WRITERS = {".npz": write_npz, ".safetensors": write_safetensors, ".pt": write_pt}
SAFETENSORS = pytest.param(".safetensors", marks=pytest.mark.extra("safetensors"))
PT = pytest.param(".pt", marks=pytest.mark.extra("torch"))
EVERY = pytest.mark.parametrize("ending", [".npz", SAFETENSORS, PT])


def parts(table, row):
    """Cut a row's vector into tensors, by the table's own record."""
    vector = np.array(row["gradient"])
    found = {}
    for tensor in record_of(table)["widths"][str(row["width"])]:
        size = int(np.prod(tensor["shape"]))
        piece = vector[tensor["offset"] : tensor["offset"] + size]
        found[tensor["name"]] = piece.reshape(tensor["shape"])
    return found


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updates_are_later_minus_earlier_of_each_named_tensor(tmp_path, ending, dtype):
    paths, made = saved(tmp_path, WRITERS[ending], ending, dtype)
    table = grokcrit.ingest(paths[::-1], checkpoints=True, pattern=PATTERN)
    rows = rows_of(table)
    assert list(rows) == [(w, s, t) for w in (4, 7) for s in (0, 1) for t in STEPS[1:]]
    assert table["gradient"].type.value_type == ("float" if dtype == np.float32 else "double")
    earlier = dict(zip(STEPS[1:], STEPS, strict=False))
    for (width, seed, step), row in rows.items():
        found = parts(table, row)
        assert sorted(found) == ["b", "out.w", "w"]
        for name, values in found.items():
            after, before = made[width, seed, step], made[width, seed, earlier[step]]
            np.testing.assert_array_equal(values.astype(dtype), after[name] - before[name])
        assert (row["task"], row["case"], row["field"]) == ("toy", "toy", "update")
        assert row["n_params"] == len(row["gradient"]) == 5 * width
        assert row["loss"] is row["test_accuracy"] is row["size"] is row["grok_epoch"] is None


@EVERY
def test_gradients_are_kept_as_they_are_and_a_file_reads_back_as_the_table(tmp_path, ending):
    paths, made = saved(tmp_path, WRITERS[ending], ending)
    options = IngestOptions(pattern=PATTERN, field="clipped-gradient", label="mine")
    plan = stage.plan(paths, options)
    writing.write(tmp_path / "x.parquet", stage.blocks(plan, threads=2), plan.schema)
    whole = grokcrit.ingest(paths, pattern=PATTERN, field="clipped-gradient", label="mine")
    read = reading.Inputs(tmp_path / "x.parquet", TRAIN).read()
    assert read.equals(reading.Inputs(whole, TRAIN).read())
    for key, row in rows_of(read).items():
        for name, values in parts(whole, row).items():
            np.testing.assert_array_equal(values.astype(np.float32), made[key][name])
        assert (row["case"], row["field"]) == ("mine", "clipped-gradient")


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    "ending",
    [pytest.param(".safetensors", marks=pytest.mark.extra("torch", "safetensors")), PT],
)
def test_half_precision_is_differenced_in_single(tmp_path, ending, kind):
    import torch

    if ending == ".pt":
        save = torch.save
    else:
        from safetensors.torch import save_file as save
    states = [{"w": torch.randn(3, 4).to(getattr(torch, kind))} for _ in range(2)]
    for step, state in enumerate(states):
        save(state, tmp_path / f"step{step}{ending}")
    table = grokcrit.ingest(sorted(tmp_path.glob("step*")), checkpoints=True)
    wanted = (states[1]["w"].float() - states[0]["w"].float()).flatten().tolist()
    assert table["gradient"].to_pylist() == [wanted]


def test_flat_vectors_take_size_and_step_from_their_length_and_place(tmp_path):
    rng = np.random.default_rng(1)
    made = [rng.standard_normal(n).astype(np.float32) for n in (30, 50, 30, 30)]
    for k, values in enumerate(made):
        np.save(tmp_path / f"g{k}.npy", values)
    table = grokcrit.ingest(sorted(tmp_path.glob("g*.npy")))
    rows = rows_of(table)
    assert list(rows) == [(30, 0, 0), (30, 0, 1), (30, 0, 2), (50, 0, 0)]
    assert rows[30, 0, 1]["gradient"] == made[2].tolist()
    assert {(r["task"], r["case"], r["field"]) for r in rows.values()} == {
        ("given", "given", "gradient")
    }


def test_one_value_of_double_precision_anywhere_makes_every_vector_double(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(9, np.float32))
    np.save(tmp_path / "b.npy", np.full(9, 1 / 3))
    table = grokcrit.ingest([tmp_path / "a.npy", tmp_path / "b.npy"])
    assert table["gradient"].to_pylist()[1] == [1 / 3] * 9


def test_a_table_of_files_goes_down_the_chain_with_its_tensors_known(tmp_path):
    paths, made = saved(tmp_path, write_npz, ".npz")
    table = grokcrit.ingest(paths, pattern=PATTERN)
    found = grokcrit.avalanche(table, surrogate=("none", "permute-layers"))
    assert found.num_rows == 2 * len(paths)
    row = next(r for r in found.to_pylist() if (r["width"], r["surrogate"]) == (7, "none"))
    vector = np.concatenate([v.ravel() for v in made[7, row["seed"], row["epoch"]].values()])
    assert row["size"] == grokcrit.cascade(vector, grokcrit.graph("ba", n=35)).size


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("b"), ["lacks", "'b'", "[4]", "--exclude 'b'"]),
        (lambda t: t.update(c=np.ones(2)), ["has a tensor 'c'", "[2]", "--exclude 'c'"]),
        (lambda t: t.update(w=t["w"].T), ["'w'", "[3, 4]", "[4, 3]"]),
    ],
)
@pytest.mark.parametrize("options", [{"checkpoints": True}, {"pattern": "{size}-{step}.npz"}, {}])
def test_a_tensor_missing_added_or_reshaped_is_named_and_never_misaligned(
    tmp_path, change, words, options
):
    for step in range(3):
        tensors = weights(4, 0, step)
        if step == 2:
            change(tensors)
        np.savez(tmp_path / f"4-{step}.npz", **tensors)
    paths = sorted(tmp_path.glob("*.npz"))
    with pytest.raises(TableError, match="4-2.npz") as caught:
        grokcrit.ingest(paths, **options)
    for word in words:
        assert word in str(caught.value)
    without = grokcrit.ingest(paths, **options, exclude=["b", "c", "w"])
    assert set(without["n_params"].to_pylist()) == {4}
    assert grokcrit.ingest(paths, **options, include="out.*")["gradient"].equals(
        without["gradient"]
    )


def test_a_tensor_of_another_order_in_the_file_lands_where_the_first_file_has_it(tmp_path):
    first, second = weights(4, 0, 0), weights(4, 0, 1)
    np.savez(tmp_path / "a.npz", **first)
    np.savez(tmp_path / "b.npz", **dict(reversed(second.items())))
    table = grokcrit.ingest([tmp_path / "a.npz", tmp_path / "b.npz"])
    wanted = np.concatenate([second[name].ravel() for name in first]).tolist()
    assert table["gradient"].to_pylist()[1] == wanted


@pytest.mark.parametrize(("sample", "kept"), [(6, 6), ("25%", 5), (19, 19), (0.9, 18), (999, 20)])
def test_a_sample_is_one_set_of_entries_for_all_of_a_size_and_root_seed(tmp_path, sample, kept):
    for seed in (0, 1):
        for step in STEPS:
            # Each value says where it stands: its place, and its run and step below the point.
            where = np.arange(20) + 0.25 * seed + 0.01 * step
            np.savez(tmp_path / f"s{seed}-{step}.npz", a=where[:11], b=where[11:].reshape(3, 3))
    paths = sorted(tmp_path.glob("*.npz"))
    options = {"pattern": "s{seed}-{step}.npz", "sample": sample}
    table = grokcrit.ingest(paths, **options)
    places = [[int(value) for value in row] for row in table["gradient"].to_pylist()]
    assert len(set(map(tuple, places))) == 1
    assert places[0] == sorted(set(places[0]))
    assert len(places[0]) == kept
    assert set(table["n_params"].to_pylist()) == {kept}
    assert grokcrit.ingest(paths[::-1], **options, threads=1).equals(table)
    record = record_of(table)
    sampled = {} if kept == 20 else {"given, 20": {"of": 20, "kept": kept}}
    assert record["configuration"]["sampled"] == sampled
    first = record["widths"]["20"][-1]["offset"]
    assert [place < 11 for place in places[0]] == [k < first for k in range(kept)]
    if kept == 6:
        others = [grokcrit.ingest(paths, **options, seed=k)["gradient"][0] for k in (1, 2, 3)]
        assert any(other != table["gradient"][0] for other in others)


def test_every_place_is_as_likely_as_any_other_to_be_sampled():
    times = np.zeros(12)
    for seed in range(3000):
        times[stage.sampled(IngestOptions(sample=4, seed=seed), 12, 12)] += 1
    # Binomial(3000, 1/3) has a standard deviation of 26.
    assert abs(times - 1000).max() < 4 * 26


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
    [
        ("{family}-{size}/step{step}.npy", "pythia-deduped-70m/step512.npy", (70_000_000, 0, 512)),
        ("{size}/*/{step}.npy", "1.4b/whatever/3k.npy", (1_400_000_000, 0, 3000)),
        ("run{seed}.npy", "run7.npy", (5, 7, 0)),
    ],
)
def test_a_pattern_names_size_seed_and_step(tmp_path, pattern, path, wanted):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    np.save(tmp_path / path, np.arange(5.0))
    table = grokcrit.ingest(tmp_path / path, pattern=pattern)
    assert list(rows_of(table)) == [wanted]
    if "{family}" in pattern:
        assert table["task"].to_pylist() == ["pythia-deduped"]


def test_options_name_what_the_path_does_not(tmp_path):
    np.save(tmp_path / "step3.npy", np.arange(5.0))
    options = {"family": "f", "size": "70m", "run_seed": 4, "pattern": "step{step}.npy"}
    table = grokcrit.ingest(tmp_path / "step3.npy", **options)
    assert list(rows_of(table)) == [(70_000_000, 4, 3)]
    assert table["task"].to_pylist() == ["f"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": "{width}.npy"}, "{family}, {size}, {seed}, {step}"),
        ({"pattern": "{step}-{step}.npy"}, "twice"),
        ({"pattern": "g{.npy"}, "brace"),
        ({"pattern": "*.npy"}, "needs a field"),
        ({"pattern": "g{step}.npy", "step": 3}, "give it once"),
        ({"pattern": "g{seed}.npy", "run_seed": 3}, "give it once"),
        ({"size": "1.5"}, "whole number"),
        ({"size": 0}, "at least 1"),
        ({"sample": 0}, "at least 1"),
        ({"sample": "150%"}, "share"),
        ({"sample": "many"}, "share"),
        ({"field": "momentum"}, "gradient, clipped-gradient, update"),
        ({"field": "gradient", "checkpoints": True}, "update"),
        ({"label": " "}, "empty"),
    ],
)
def test_an_option_out_of_its_range_is_refused_in_words(tmp_path, options, words):
    np.save(tmp_path / "g1.npy", np.ones(4))
    with pytest.raises(OptionError) as caught:
        grokcrit.ingest(tmp_path / "g1.npy", **options)
    assert words in str(caught.value)


def test_a_path_that_does_not_match_and_a_size_too_large_are_named(tmp_path):
    for name in ("g1.npy", "12b.npy"):
        np.save(tmp_path / name, np.ones(4))
    with pytest.raises(TableError, match=r"g1\.npy does not match --pattern"):
        grokcrit.ingest(tmp_path / "g1.npy", pattern="step{step}.npy")
    with pytest.raises(TableError, match=r"12b\.npy: size 12b .* --size"):
        grokcrit.ingest(tmp_path / "12b.npy", pattern="{size}.npy")


def test_two_files_of_one_snapshot_a_file_twice_and_a_lone_checkpoint_are_refused(tmp_path):
    paths, _ = saved(tmp_path, write_npz, ".npz")
    with pytest.raises(TableError, match=r"step0\.npz and .*step0\.npz are both of size 4"):
        grokcrit.ingest(paths, pattern="toy-{size}-*/step{step}.npz")
    with pytest.raises(RepeatedError):
        grokcrit.ingest([paths[0], paths[0].parent / ".." / paths[0].parent.name / paths[0].name])
    with pytest.raises(TableError, match="only checkpoint"):
        grokcrit.ingest(paths[:1], checkpoints=True)
    with pytest.raises(OptionError, match="several families"):
        grokcrit.ingest(paths, pattern="{family}-seed{seed}/step{step}.npz", label="both")


@EVERY
@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
def test_a_file_cut_short_is_named_whatever_its_kind(tmp_path, ending, share):
    path = tmp_path / f"whole{ending}"
    WRITERS[ending](path, weights(200, 0, 0))
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(TableError, match=rf"cut\{ending}"):
        grokcrit.ingest(cut)


def test_a_byte_changed_in_an_npz_is_found_by_its_checksum(tmp_path):
    np.savez(tmp_path / "x.npz", w=np.zeros(1000))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[4000] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(TableError, match=r"x\.npz, tensor 'w', is not a readable"):
        grokcrit.ingest(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.npy", b"", "empty"),
        ("x.npy", b"\x93NUMPY\x01\x00", "damaged"),
        ("x.npz", b"PK\x03\x04 nothing", "damaged"),
        pytest.param(
            *("x.safetensors", b"\xff" * 40, "damaged"), marks=pytest.mark.extra("safetensors")
        ),
        ("x.csv", b"1,2,3", ".npy, .npz, .safetensors, .pt"),
        ("missing/x.npy", None, "No such file"),
        (f"{'x' * 300}.npy", None, "too long"),
    ],
)
def test_what_holds_no_tensors_is_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=Path(name).name) as caught:
        grokcrit.ingest(tmp_path / name)
    assert words in str(caught.value)


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("checkpoints", [False, True])
def test_what_is_not_finite_is_named_by_file_tensor_and_entry(tmp_path, ending, bad, checkpoints):
    tensors = weights(4, 0, 0)
    WRITERS[ending](tmp_path / f"a{ending}", tensors)
    tensors["w"][2, 1] = bad
    WRITERS[ending](tmp_path / f"b{ending}", tensors)
    with pytest.raises(TableError, match=rf"b\{ending}: tensor 'w' holds {bad} at entry 7"):
        grokcrit.ingest(sorted(tmp_path.glob("*")), checkpoints=checkpoints)


def test_an_entry_of_a_sample_that_is_not_finite_is_named_by_its_place_in_the_tensor(tmp_path):
    first, _, third = stage.sampled(IngestOptions(sample=3), 50, 50).tolist()
    values = np.ones(50)
    values[third] = np.nan
    np.savez(tmp_path / "a.npz", a=values[: first + 1], b=values[first + 1 :])
    with pytest.raises(TableError, match=f"'b' holds nan at entry {third - first - 1};"):
        grokcrit.ingest(tmp_path / "a.npz", sample=3)


def test_a_difference_that_overflows_is_named(tmp_path):
    for step, value in enumerate((3e38, -3e38)):
        np.savez(tmp_path / f"{step}.npz", w=np.full(4, value, np.float32))
    with pytest.raises(TableError, match=r"1\.npz minus .*0\.npz: tensor 'w' overflows float32"):
        grokcrit.ingest(sorted(tmp_path.glob("*.npz")), checkpoints=True)


def test_integers_are_left_out_and_other_types_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(5), steps=np.array([3]), mask=np.ones(2, bool))
    plan = stage.plan([tmp_path / "a.npz"], IngestOptions())
    assert plan.series.left_out == {"steps": "int64", "mask": "bool"}
    assert plan.n_params(("given", 5)) == 5
    np.savez(tmp_path / "b.npz", w=np.ones(5), z=np.ones(2, complex))
    with pytest.raises(TableError, match="'z' holds complex128"):
        grokcrit.ingest(tmp_path / "b.npz")
    assert grokcrit.ingest(tmp_path / "b.npz", exclude="z").num_rows == 1
    with pytest.raises(EmptyError):
        grokcrit.ingest(tmp_path / "a.npz", include="steps")


def test_a_vector_that_no_page_holds_is_told_what_to_do(tmp_path):
    entries = 2**28 + 1
    header = {"descr": "<f4", "fortran_order": False, "shape": (entries,)}
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * entries)  # a hole: it takes no room
    with pytest.raises(TableError, match=r"--sample, .* avalanche x\.npy"):
        grokcrit.ingest(tmp_path / "x.npy")
    assert grokcrit.ingest(tmp_path / "x.npy", sample=1000)["n_params"].to_pylist() == [1000]


class Command:
    """What a hostile pickle holds: a call that is made when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("ending", [PT, ".npy", ".npz"])
def test_code_in_a_file_is_never_run(tmp_path, ending):
    mark, path = tmp_path / "ran", tmp_path / f"evil{ending}"
    hostile = Command(mark)
    if ending == ".pt":
        import torch

        torch.save({"w": torch.zeros(3), "x": hostile}, path)
    elif ending == ".npy":
        np.save(path, np.array([hostile], object), allow_pickle=True)
    else:
        np.savez(path, w=np.ones(3), x=np.array([hostile], object))
    with pytest.raises(TableError, match="evil"):
        grokcrit.ingest(path)
    plain = tmp_path / f"plain{ending}"
    plain.write_bytes(pickle.dumps(hostile))
    with pytest.raises(TableError, match="plain"):
        grokcrit.ingest(plain)
    assert not mark.exists()


@pytest.mark.extra("torch")
def test_a_pt_file_without_tensors_says_what_is_in_it(tmp_path):
    import torch

    torch.save({"epoch": 3, "optimizer": {}}, tmp_path / "x.pt")
    with pytest.raises(TableError, match="a dict of 'epoch', 'optimizer'"):
        grokcrit.ingest(tmp_path / "x.pt")
    torch.save([1, 2], tmp_path / "x.pt")
    with pytest.raises(TableError, match="a list"):
        grokcrit.ingest(tmp_path / "x.pt")


@pytest.mark.extra("torch")
def test_tied_transposed_and_old_pt_files_are_read_and_one_tensor_counts_once(tmp_path):
    import torch

    w = torch.arange(6.0).reshape(2, 3)
    state = {"a": w, "tied": w, "t": w.T, "p": torch.nn.Parameter(w)}
    for name, new in (("new.pt", True), ("old.pt", False)):
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=new)
        table = grokcrit.ingest(tmp_path / name)
        flat = [*range(6), 0, 3, 1, 4, 2, 5]
        assert table["gradient"].to_pylist() == [flat]
        assert record_of(table)["configuration"]["left_out"] == {"tied": ["tied", "p"]}
        table = grokcrit.ingest(tmp_path / name, include=["*", "tied"])
        assert table["gradient"].to_pylist() == [[*range(6), *flat]]


@pytest.mark.parametrize(("package", "ending"), [("torch", ".pt"), ("safetensors", ".safetensors")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path, monkeypatch, package, ending
):
    (tmp_path / f"x{ending}").write_bytes(b"anything")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(TableError, match=r"pip install 'grokcrit\[torch\]'"):
        grokcrit.ingest(tmp_path / f"x{ending}")
