"""Checkpoints as libraries leave them: which files are the network, of which step, what N is."""

import json
import tracemalloc

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import EmptyError, OptionError, RepeatedError, TableError
from grokcrit.saved.checkpoints import network_among
from grokcrit.saved.names import step_in
from grokcrit.saved.options import IngestOptions
from grokcrit.stages import ingest as stage

BESIDE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "config.json")


def weights(width, step, seed=0):
    rng = np.random.default_rng([width, step, seed])
    shapes = {"b": (width,), "w": (width, 3)}
    return {name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}


def flat(tensors):
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def save(folder, tensors, sharded=False):
    """A network as save_pretrained leaves it, and what a Trainer leaves beside it."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in BESIDE:
        (folder / name).write_bytes(b"no network")
    if not sharded:
        return save_file(tensors, folder / "model.safetensors")
    places = {}
    for k, name in enumerate(tensors, 1):
        places[name] = f"model-{k:05d}-of-{len(tensors):05d}.safetensors"
        save_file({name: tensors[name]}, folder / places[name])
    index = folder / "model.safetensors.index.json"
    return index.write_text(json.dumps({"metadata": {}, "weight_map": places}))


def run(folder, width=4, steps=(100, 200, 1000), name="checkpoint-{}", **keywords):
    for step in steps:
        save(folder / name.format(step), weights(width, step), **keywords)
    return folder


def rows(table):
    return {(r["width"], r["seed"], r["epoch"]): r["gradient"] for r in table.to_pylist()}


def change(width, later, earlier):
    return (flat(weights(width, later)) - flat(weights(width, earlier))).tolist()


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["pytorch_model.bin", "model.safetensors", "optimizer.bin"], "model.safetensors"),
        (["model-00001-of-00002.safetensors", "model.safetensors.index.json"], -1),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], 0),
        (["pytorch_model.bin.index.json", "model-00001-of-00002.safetensors"], 1),
        (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], 1),
        (["adapter_model.safetensors", "pytorch_model.bin"], 1),
        (["adapter_model.safetensors", "adapter_config.json"], 0),
        (["optimizer.pt", "training_args.bin", "rng_state.pth", "scheduler.bin"], None),
        ([], None),
    ],
)
def test_the_network_among_files_is_that_which_transformers_would_load(names, wanted):
    """Fault: the state of an optimizer, or a half of the weights, is taken for the network."""
    found = network_among(names)
    assert found == (names[wanted] if isinstance(wanted, int) else wanted)


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("checkpoint-100", 100),
        ("/runs/step3/checkpoint-20", 20),
        ("step1000", 1000),
        ("step-10k", 10_000),
        ("epoch_2", 2),
        ("global_step500", 500),
        ("iter_0000500", 500),
        ("epoch=3-step=120", 120),
        ("stage1-step1000-tokens5B", 1000),
        ("ckpt_007", 7),
        ("1200", 1200),
        ("x/pythia-70m@step512", 512),
        ("x/step9@main", None),
        ("pythia-70m", None),
        ("step3.5", None),
        ("substep3", None),
        ("final", None),
        ("step99999999999", None),
    ],
)
def test_the_step_is_read_from_the_name_of_a_folder_or_revision(name, step):
    """Fault: the size in a name, or an epoch beside a step, is taken for the step."""
    assert step_in(name) == step


@pytest.mark.extra("safetensors")
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("name", ["checkpoint-{}", "step{}"])
def test_a_folder_of_checkpoints_is_a_run_in_the_order_of_its_steps(tmp_path, name, sharded):
    """Fault: checkpoint-1000 comes before checkpoint-200, or the last network is a step, too."""
    folder = run(tmp_path / "run", name=name, sharded=sharded)
    save(folder, weights(4, 1000))
    (folder / "runs").mkdir()
    (folder / "tmp-checkpoint-1100").mkdir()
    wanted = {(16, 0, 200): change(4, 200, 100), (16, 0, 1000): change(4, 1000, 200)}
    table = grokcrit.ingest(folder, checkpoints=True)
    assert rows(table) == wanted
    assert set(table["n_params"].to_pylist()) == {16}
    assert rows(grokcrit.ingest(sorted(folder.glob(name[:4] + "*")), checkpoints=True)) == wanted


@pytest.mark.extra("safetensors")
def test_folders_of_several_sizes_and_seeds(tmp_path):
    """Fault: two folders are one size, or the pattern is asked of files that nobody named."""
    folders = [run(tmp_path / f"toy-{width}-s{seed}", width) for width in (4, 8) for seed in (0, 1)]
    table = grokcrit.ingest([folders[0], folders[2]], checkpoints=True)
    assert {key[:2] for key in rows(table)} == {(16, 0), (32, 0)}
    for pattern in ("{family}-{size}-s{seed}/*", "{family}-{size}-s{seed}/checkpoint-{step}"):
        table = grokcrit.ingest(folders, checkpoints=True, pattern=pattern)
        assert list(rows(table)) == [(w, s, t) for w in (4, 8) for s in (0, 1) for t in (200, 1000)]
        assert set(table["task"].to_pylist()) == {"toy"}
    with pytest.raises(RepeatedError, match="step 100; tell them apart by --pattern"):
        grokcrit.ingest(folders[:2], checkpoints=True)
    with pytest.raises(RepeatedError, match="checkpoint-200 is given twice"):
        grokcrit.ingest([folders[0], folders[0] / "checkpoint-200"], checkpoints=True)


@pytest.mark.extra("safetensors")
def test_a_pattern_finds_steps_in_names_that_do_not_say_step(tmp_path):
    """Fault: names of one's own are refused although the pattern reads them."""
    folder = run(tmp_path / "run", name="after{}samples")
    with pytest.raises(TableError, match=r"after1000samples does not say .* --pattern"):
        grokcrit.ingest(folder, checkpoints=True)
    save(folder / "best", weights(4, 7))
    table = grokcrit.ingest(folder, checkpoints=True, pattern="after{step}samples")
    assert [key[2] for key in rows(table)] == [200, 1000]
    with pytest.raises(TableError, match=r"after1000samples does not match --pattern"):
        grokcrit.ingest(folder, checkpoints=True, pattern="before{step}")


@pytest.mark.extra("safetensors")
def test_folders_without_a_network_are_named(tmp_path):
    """Fault: a checkpoint that was not finished is left out, and a difference spans two steps."""
    folder = run(tmp_path / "run")
    with pytest.raises(OptionError, match="must be given for folders"):
        grokcrit.ingest(folder)
    (folder / "checkpoint-200/model.safetensors").unlink()
    with pytest.raises(EmptyError, match="checkpoint-200 holds no network"):
        grokcrit.ingest(folder, checkpoints=True)
    with pytest.raises(EmptyError, match="checkpoint-200 holds no network"):
        grokcrit.ingest(folder / "checkpoint-200", checkpoints=True)
    with pytest.raises(TableError, match=r"checkpoint-100.* is the only checkpoint"):
        grokcrit.ingest(folder / "checkpoint-100", checkpoints=True)
    run(folder, sharded=True, steps=[200])
    (folder / "checkpoint-200/model-00002-of-00002.safetensors").unlink()
    with pytest.raises(TableError, match="00002-of-00002.safetensors is missing"):
        grokcrit.ingest(folder, checkpoints=True)


@pytest.mark.extra("safetensors")
def test_folders_that_differ_in_a_mask_alone_are_one_run(tmp_path):
    """Fault: sizes that become equal without the masks are two kinds, or one run in disorder."""
    for part, (steps, length) in enumerate((((0, 1), 5), ((2, 3), 7))):
        for step in steps:
            mask = {"mask": np.ones((length, length), "f4")}
            save(tmp_path / f"part{part}/step{step}", weights(4, step) | mask)
    parts = [tmp_path / "part1", tmp_path / "part0"]
    wanted = {(16, 0, t): change(4, t, t - 1) for t in (1, 2, 3)}
    assert rows(grokcrit.ingest(parts, checkpoints=True)) == wanted
    save(tmp_path / "part1/step1", weights(4, 1) | mask)
    with pytest.raises(RepeatedError, match="step 1"):
        grokcrit.ingest(parts, checkpoints=True)


# --- the cache of Hugging Face --------------------------------------------------------------------


def cache(folder, revisions):
    """A repository in the cache: {revision: commit}, each commit a step, its file in blobs/."""
    for revision, (commit, blob) in revisions.items():
        ref, snapshot = folder / "refs" / revision, folder / "snapshots" / commit
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(commit)
        snapshot.mkdir(parents=True, exist_ok=True)
        if blob is not None and not (snapshot / "model.safetensors").is_symlink():
            save(folder / "made", weights(4, blob))
            (folder / "blobs").mkdir(exist_ok=True)
            (folder / "made/model.safetensors").replace(folder / f"blobs/{blob}")
            (snapshot / "model.safetensors").symlink_to(f"../../blobs/{blob}")
    return folder


@pytest.mark.extra("safetensors")
def test_revisions_in_the_cache_are_steps_also_those_of_one_blob_or_commit(tmp_path):
    """Fault: equal weights at two steps are one file twice, or main is a step beside its own."""
    folder = cache(
        tmp_path / "models--org--toy-16m",
        {
            "step0": ("aaaa", 1),
            "step1": ("bbbb", 1),
            "step128": ("cccc", 3),
            "step129": ("cccc", 3),
            "main": ("cccc", 3),
            "step200": ("dddd", None),  # its configuration alone was downloaded
            "refs/pr/1": ("aaaa", 1),
        },
    )
    table = grokcrit.ingest(folder, checkpoints=True)
    still = [0.0] * 16
    wanted = {(16, 0, 1): still, (16, 0, 128): change(4, 3, 1), (16, 0, 129): still}
    assert rows(table) == wanted
    assert set(table["task"].to_pylist()) == {"toy-16m"}
    table = grokcrit.ingest(folder, checkpoints=True, pattern="org/{family}-{size}@step{step}")
    assert list(rows(table)) == [(16_000_000, 0, t) for t in (1, 128, 129)]
    assert set(table["task"].to_pylist()) == {"toy"}
    table = grokcrit.ingest(folder, checkpoints=True, family="mine")
    assert set(table["task"].to_pylist()) == {"mine"}


@pytest.mark.extra("safetensors")
def test_a_cache_whose_revisions_say_no_step_is_told_so(tmp_path):
    """Fault: main is step 0, and any other revision the next."""
    folder = cache(tmp_path / "models--gpt2", {"main": ("aaaa", 1), "v2": ("bbbb", 2)})
    with pytest.raises(TableError, match="gpt2@main does not say of which step it is"):
        grokcrit.ingest(folder, checkpoints=True)


# --- what counts ----------------------------------------------------------------------------------


@pytest.mark.extra("safetensors")
def test_one_tensor_is_held_at_a_time(tmp_path):
    """Fault: a checkpoint of many shards is read whole to sample it."""
    entries, count = 250_000, 16
    for step in range(2):
        rng = np.random.default_rng(step)
        tensors = {f"w{k:02d}": rng.random(entries, np.float32) for k in range(count)}
        save(tmp_path / f"step{step}", tensors, sharded=True)
    del tensors
    grokcrit.ingest(tmp_path, checkpoints=True, sample=10)  # modules are loaded
    peaks = []
    for options in ({"sample": 1000}, {}):
        tracemalloc.start()
        plan = stage.plan([tmp_path], IngestOptions(checkpoints=True, **options))
        (snapshot,) = plan.series.snapshots
        vector = np.empty(plan.n_params(snapshot.kind), plan.dtype)
        stage.read_vector(plan, snapshot, vector, stop=stage.Stop())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    tensor = 4 * entries
    assert peaks[0] < 2 * tensor
    assert peaks[1] < (count + 4) * tensor


@pytest.mark.extra("torch", "huggingface", "safetensors")
@pytest.mark.filterwarnings("ignore")
def test_the_output_of_a_trainer_has_the_parameters_of_its_model(tmp_path):
    """Fault: tied embeddings count twice, or masks and optimizers count at all."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2)
    )
    tokens = torch.randint(0, 40, (24, 16))
    settings = TrainingArguments(
        *(str(tmp_path / "run"),),
        max_steps=6,
        save_steps=2,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        use_cpu=True,
    )
    data = [{"input_ids": each, "labels": each} for each in tokens]
    trainer = Trainer(model=model, args=settings, train_dataset=data)
    trainer.train()
    trainer.save_model()
    n = sum(p.numel() for p in model.parameters())
    folders = sorted((tmp_path / "run").glob("checkpoint-*"))
    assert len(folders) == 3
    for folder in folders:
        saved = GPT2LMHeadModel.from_pretrained(folder)
        saved.save_pretrained(tmp_path / "shards" / folder.name, max_shard_size="8KB")
        state = saved.state_dict()
        assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()
        # As versions of transformers before 4.31 left it, which kept the masks in the state dict.
        for k in range(2):
            mask = torch.ones(32, 32).tril().view(1, 1, 32, 32)
            state |= {f"transformer.h.{k}.attn.bias": mask}
            state |= {f"transformer.h.{k}.attn.masked_bias": torch.tensor(-1e4)}
        names = list(state)
        first = [name for name in names if ".h." not in name]
        split_bin(tmp_path / "bins" / folder.name, state, [first, sorted({*names} - {*first})])
    tables = {}
    for name in ("run", "shards", "bins"):
        table = grokcrit.ingest(tmp_path / name, checkpoints=True)
        assert list(rows(table)) == [(n, 0, 4), (n, 0, 6)]
        assert table["n_params"].to_pylist() == [n, n]
        record = json.loads(table.schema.metadata[b"grokcrit"])
        named = {each["name"]: each for each in record["widths"][str(n)]}
        assert named.keys() == dict(model.named_parameters()).keys()
        left_out = record["configuration"].get("left_out", {})
        assert left_out.get("tied") == (["lm_head.weight"] if name == "bins" else None)
        wte = named["transformer.wte.weight"]["offset"]
        tables[name] = [np.array(row)[wte : wte + 640] for row in table["gradient"].to_pylist()]
    assert len(list((tmp_path / "shards/checkpoint-2").glob("*.safetensors"))) > 2
    for name in ("shards", "bins"):
        np.testing.assert_array_equal(tables[name], tables["run"])
    before = GPT2LMHeadModel.from_pretrained(folders[1]).transformer.wte.weight
    moved = (model.transformer.wte.weight - before).detach().numpy().ravel()
    np.testing.assert_array_equal(tables["run"][1].astype("f4"), moved)


def split_bin(folder, state, parts):
    """A network in shards of torch, with the index that transformers writes."""
    import torch

    folder.mkdir(parents=True)
    places = {}
    for k, names in enumerate(parts, 1):
        file = f"pytorch_model-{k:05d}-of-{len(parts):05d}.bin"
        torch.save({name: state[name] for name in names}, folder / file)
        places |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt")


@pytest.mark.extra("torch")
def test_float_buffers_of_a_state_dict_do_not_count(tmp_path):
    """Fault: running statistics, frequencies and masks are parameters in a pytorch_model.bin."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    model.register_buffer("inv_freq", torch.ones(4))
    model[3].register_buffer("bias_mask", torch.ones(5, 5).tril())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        optimizer.zero_grad()
        x = torch.randn(16, 6)
        nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
    table = grokcrit.ingest(tmp_path, checkpoints=True)
    assert set(table["n_params"].to_pylist()) == {sum(p.numel() for p in model.parameters())}
