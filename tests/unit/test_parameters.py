"""A state dict is not a list of parameters: what counts in N, and which files are one network."""

import json
import re

import numpy as np
import pytest

import grokcrit
from grokcrit.base.errors import RepeatedError, TableError
from grokcrit.saved import shards as saved_shards
from grokcrit.saved import tensor_names
from grokcrit.saved.options import IngestOptions
from grokcrit.stages import ingest as stage
from grokcrit.stages.ingest import ingest_summary

PATTERN = "{size}-{seed}-{step}.*"
MASK = np.where(np.tri(6, dtype=bool), 0, -np.inf).astype(np.float32)


def random(*key):
    return np.random.default_rng(key)


def parameters(width, seed, step):
    rng = random(width, seed, step)
    return {
        "fc.weight": rng.normal(size=(width, 3)).astype(np.float32),
        "fc.bias": rng.normal(size=width).astype(np.float32),
        "out.weight": rng.normal(size=(2, width)).astype(np.float32),
    }


def saved(folder, buffers=lambda width, seed, step: {}, widths=(4, 8, 16), steps=3):
    """Checkpoints of three sizes and two seeds: parameters and what a function puts beside them."""
    for width in widths:
        for seed in (0, 1):
            for step in range(steps):
                tensors = parameters(width, seed, step) | buffers(width, seed, step)
                np.savez(folder / f"{width}-{seed}-{step}.npz", **tensors)
    return sorted(folder.glob("*.npz"))


def planned(paths, **options):
    options = {"checkpoints": True, "pattern": PATTERN, **options}
    return stage.plan(paths, IngestOptions(**options))


def left_out(plan):
    return [*plan.series.buffers, *plan.series.unchanging, *plan.series.empty]


BUFFERS = {
    "statistics": (lambda w, s, t: {"bn.running_mean": np.full(w, t + 0.5)}, "bn.running_mean"),
    "a mask of minus infinity": (lambda w, s, t: {"attn.bias": MASK}, "attn.bias"),
    "frequencies": (lambda w, s, t: {"rotary.inv_freq": np.ones(7)}, "rotary.inv_freq"),
    "a scale that never changes": (lambda w, s, t: {"scale": np.float32(8)}, "scale"),
    "a count as a real number": (lambda w, s, t: {"num_steps": np.float32(t)}, "num_steps"),
    "a count of one entry": (lambda w, s, t: {"step": np.array([float(t)])}, "step"),
    "no entries": (lambda w, s, t: {"spare": np.zeros((0, 4), np.float32)}, "spare"),
    "complex frequencies": (lambda w, s, t: {"freqs_cis": np.ones(3, "c8")}, "freqs_cis"),
    "flax": (lambda w, s, t: {"batch_stats/BN_0/mean": np.full(w, t / 2)}, "batch_stats/BN_0/mean"),
    "jax": (
        lambda w, s, t: {"['batch_stats']['BN']['var']": np.full(w, 1.0 * t)},
        "['batch_stats']['BN']['var']",
    ),
    "a codebook": (
        lambda w, s, t: {"vq.embed": np.full(w, t / 2), "vq.cluster_size": np.full(3, t / 3)},
        "vq.embed",
    ),
    "statistics beside a count": (
        lambda w, s, t: {"obs.mean": np.full(w, t / 2), "obs.count": np.float32(t)},
        "obs.mean",
    ),
    "spectral norm": (
        lambda w, s, t: {"sn.weight_v": np.full(w, t / 2), "sn.weight_orig": np.zeros(0)},
        "sn.weight_v",
    ),
    "haiku": (lambda w, s, t: {"bn/~/mean_ema/hidden": np.full(w, t / 2)}, "bn/~/mean_ema/hidden"),
    "keras": (lambda w, s, t: {"bn/moving_mean:0": np.full(w, t / 2)}, "bn/moving_mean:0"),
    "observers": (
        lambda w, s, t: {"a.activation_post_process_0.scale": np.full(1, t / 2)},
        "a.activation_post_process_0.scale",
    ),
    "pruning": (
        lambda w, s, t: {"p.weight_mask": np.full(w, t / 2), "p.weight_orig": np.zeros(0)},
        "p.weight_mask",
    ),
    "moments beside": (lambda w, s, t: {"fc/kernel/Adam": np.full(w, t / 2)}, "fc/kernel/Adam"),
    "a scale beside a weight": (lambda w, s, t: {"fc.scale": np.ones(w)}, "fc.scale"),
    "an averaged copy": (lambda w, s, t: {"net_ema.w": np.full(w, t / 2)}, "net_ema.w"),
    "an optimizer": (
        lambda w, s, t: {"opt_state/0/mu/fc": np.full(w, t / 2)},
        "opt_state/0/mu/fc",
    ),
    "a result": (lambda w, s, t: {"best_acc1": np.float32(t)}, "best_acc1"),
    "frozen": (
        lambda w, s, t: {"embed.weight": random(w).normal(size=(w, 2))},
        "embed.weight",
    ),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_buffers_do_not_count_and_are_named(tmp_path, kind):
    """Fault: N, theta and D are those of a network that does not exist, in silence."""
    buffers, name = BUFFERS[kind]
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    plan = planned(saved(tmp_path / "with", buffers))
    assert {kind: plan.n_params(kind) for kind in plan.series.layouts} == {
        ("given", width): 6 * width for width in (4, 8, 16)
    }
    assert name in left_out(plan)
    assert any(name in notice.text for notice in ingest_summary(plan).warnings)
    mine = grokcrit.ingest(saved(tmp_path / "with", buffers), checkpoints=True, pattern=PATTERN)
    plain = grokcrit.ingest(saved(tmp_path / "without"), checkpoints=True, pattern=PATTERN)
    assert mine.column_names == plain.column_names
    for column in mine.column_names:
        assert mine[column].to_pylist() == plain[column].to_pylist(), column


def test_buffers_are_kept_when_asked_for(tmp_path):
    """Fault: no way to get at what was left out."""
    statistics = saved(tmp_path, lambda w, s, t: {"running_var": np.ones(w), "scale": np.ones(1)})
    plan = planned(statistics, keep_buffers=True)
    assert left_out(plan) == []
    assert plan.n_params(("given", 4)) == 24 + 4 + 1


def test_a_tensor_that_one_run_of_one_size_changes_is_a_parameter(tmp_path):
    """Fault: N of one size without a tensor that others have, as a dead unit would make it."""

    def sometimes(width, seed, step):
        return {"rare": np.full(5, float(width == 16 and seed == 1 and step == 1))}

    plan = planned(saved(tmp_path, sometimes))
    assert left_out(plan) == []
    assert plan.n_params(("given", 4)) == 24 + 5


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ("fc.weight", "fc.bias"),
        ("ln.bias", "ln.weight"),
        ("params/Dense_0/kernel", "params/Dense_0/bias"),
        ("['params']['Dense_0']['kernel']", "['params']['Dense_0']['bias']"),
        ("mlp/~/linear/w", "mlp/~/linear/b"),
        ("ln/bias", "ln/scale"),
        ("attn.in_proj_weight", "attn.in_proj_bias"),
        ("lstm.weight_ih_l0", "lstm.bias_ih_l0"),
    ],
)
def test_a_vector_that_never_changes_stays_with_its_layer(tmp_path, weight, bias):
    """Fault: the bias before a BatchNorm, or a LayerNorm in bfloat16, is taken for a buffer."""

    def layer(width, seed, step):
        moving = {weight: random(width, seed, step, 9).normal(size=(width, 2))}
        return moving | {bias: np.ones(width)}

    assert left_out(planned(saved(tmp_path, layer))) == []


def test_a_tensor_that_is_included_by_name_is_kept(tmp_path):
    """Fault: a parameter that has the name of a buffer can only be had with all buffers."""
    named = saved(tmp_path, lambda w, s, t: {"queue": np.full(w, t / 2), "mask": np.ones(9)})
    options = {"include": ("*.weight", "queue", "mask")}
    plan = planned(named, **options)
    assert left_out(plan) == []
    assert plan.n_params(("given", 4)) == 5 * 4 + 4 + 9
    assert left_out(planned(named, include="*")) == ["queue", "mask"]
    for path in named:
        held = np.load(path)
        np.savez(path, **{f"module.{name}": held[name] for name in held})
    plan = planned(named, include=("*.weight", "module.queue", "module.mask"))
    assert plan.n_params(("given", 4)) == 5 * 4 + 4 + 9


@pytest.mark.parametrize(
    "name",
    ["lora.weight_u", "cache.proj.weight", "layer.count", "obs.mean", "min_val", "time_step"],
)
def test_a_name_that_may_be_that_of_a_parameter_is_kept(tmp_path, name):
    """Fault: a name that some library gives to buffers costs others a parameter."""
    plan = planned(saved(tmp_path, lambda w, s, t: {name: np.full(5, t / 2)}))
    assert left_out(plan) == []


def test_patterns_that_match_nothing_are_warned_of(tmp_path):
    """Fault: --exclude with a slip of the pen leaves nothing out, in silence."""
    paths = saved(tmp_path)
    plan = planned(paths, exclude=("fc.wieght", "fc.bias"), include=("fc.*", "zzz"))
    assert plan.series.idle == {"fc.wieght", "zzz"}
    assert "no-match" in [notice.id for notice in ingest_summary(plan).warnings]
    assert planned(paths, include="fc.weight").series.idle == set()


def test_where_nothing_changes_nothing_is_left_out(tmp_path):
    """Fault: equal checkpoints end in an error, where they are updates of 0."""
    for step in range(3):
        np.savez(tmp_path / f"4-0-{step}.npz", **parameters(4, 0, 0))
    table = grokcrit.ingest(sorted(tmp_path.glob("*")), checkpoints=True, pattern=PATTERN)
    assert table["gradient"].to_pylist() == [[0.0] * 24] * 2


def test_a_size_that_is_counted_is_that_of_the_parameters(tmp_path):
    """Fault: the width says one number of parameters and n_params another."""
    for step in range(3):
        np.savez(tmp_path / f"{step}.npz", **parameters(4, 0, step), mask=np.ones((9, 9)))
    table = grokcrit.ingest(sorted(tmp_path.glob("*.npz")), checkpoints=True)
    assert set(table["width"].to_pylist()) == set(table["n_params"].to_pylist()) == {24}


def test_gradients_that_repeat_are_kept(tmp_path):
    """Fault: a gradient that is the same at two steps is taken for a buffer."""
    for step in range(2):
        np.savez(tmp_path / f"{step}.npz", w=np.ones(5))
    assert grokcrit.ingest(sorted(tmp_path.glob("*.npz")))["n_params"].to_pylist() == [5, 5]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "prefixes", "plain"),
    [
        (["module.a.w", "module.b"], (), ["a.w", "b"]),
        (["module.a.w", "b"], (), ["module.a.w", "b"]),
        (["_orig_mod.a.w"], (), ["a.w"]),
        (["module._orig_mod.a"], (), ["a"]),
        (["layers.0._orig_mod.w", "layers.1.w"], (), ["layers.0.w", "layers.1.w"]),
        (["a._checkpoint_wrapped_module._fsdp_wrapped_module.w"], (), ["a.w"]),
        (["model.a", "model.b"], ("model.",), ["a", "b"]),
        (["net.model.a", "b"], ("model",), ["net.a", "b"]),
        (["remodel.a"], ("model.",), ["remodel.a"]),
        (["_orig_mod.a", "a"], (), ["_orig_mod.a", "a"]),
        (["params/_orig_mod.a"], (), ["params/a"]),
        (["module.a.w", "n_averaged"], (), ["a.w", "n_averaged"]),
    ],
)
def test_prefixes_of_wrappers_are_taken_off(names, prefixes, plain):
    """Fault: one tensor under two names, or two tensors under one."""
    assert list(tensor_names.plain_names(names, prefixes)) == plain
    assert list(tensor_names.plain_names(names, prefixes).values()) == names


def test_a_series_may_be_compiled_in_between(tmp_path):
    """Fault: step 2 lacks every tensor of step 1, for torch.compile renamed them."""
    for step, prefix in enumerate(("", "module.", "module._orig_mod.")):
        tensors = {f"{prefix}{name}": v for name, v in parameters(4, 0, step).items()}
        np.savez(tmp_path / f"4-0-{step}.npz", **tensors)
    paths = sorted(tmp_path.glob("*"))
    table = grokcrit.ingest(paths, checkpoints=True, pattern=PATTERN, include="fc.*")
    wanted = [
        (parameters(4, 0, t)[name] - parameters(4, 0, t - 1)[name]).ravel()
        for t in (1, 2)
        for name in ("fc.weight", "fc.bias")
    ]
    assert np.concatenate(table["gradient"].to_pylist()).tolist() == np.concatenate(wanted).tolist()
    as_in_the_file = grokcrit.ingest(paths[1:2], include="module.fc.*")
    assert as_in_the_file["n_params"].to_pylist() == [16]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["a[1]"], ["a[1]"]),
        (["['p']['k']"], ["['p']['k']"]),
        (["a?"], ["a1"]),
        (["a[12]"], ["a1"]),
        (["*"], ["a[1]", "a1", "['p']['k']"]),
    ],
)
def test_a_name_is_itself_before_it_is_a_pattern(patterns, wanted):
    """Fault: brackets in the names of JAX are read as classes of characters."""
    names = {name: name for name in ("a[1]", "a1", "['p']['k']")}
    assert tensor_names.chosen(names, patterns, []) == wanted
    assert tensor_names.chosen(names, None, patterns) == [n for n in names if n not in wanted]


@pytest.mark.parametrize("name", ["w", "['p']['k']", 'it\'s "odd" $HOME', "a b", "`x`'"])
def test_a_quoted_name_is_one_word_of_a_shell(name, tmp_path):
    """Fault: the command that a message proposes does something else when typed."""
    import subprocess

    line = f"printf %s {tensor_names.quoted(name)}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == name


# --- files ----------------------------------------------------------------------------------------


def test_links_to_one_blob_are_several_files(tmp_path):
    """Fault: equal weights at two steps, which the Hugging Face cache keeps once, are refused."""
    (tmp_path / "blobs").mkdir()
    for step, blob in enumerate("aab"):
        np.savez(tmp_path / "blobs" / f"{blob}.npz", w=random(ord(blob)).normal(size=5))
        (tmp_path / f"step{step}").mkdir()
        (tmp_path / f"step{step}" / "model.npz").symlink_to(f"../blobs/{blob}.npz")
    paths = sorted(tmp_path.glob("step*/*"))
    table = grokcrit.ingest(paths, checkpoints=True, pattern="step{step}/model.npz")
    assert table["gradient"].to_pylist()[0] == [0.0] * 5
    change = random(ord("b")).normal(size=5) - random(ord("a")).normal(size=5)
    assert table["gradient"].to_pylist()[1] == change.tolist()
    with pytest.raises(RepeatedError):
        grokcrit.ingest([paths[0], tmp_path / "step1" / ".." / "step0" / "model.npz"])


def shards(folder, step, write, first=1, spelling="model-{:05d}-of-00002.safetensors"):
    """A network in two files, and its index."""
    tensors = parameters(4, 0, step)
    names = [spelling.format(k) for k in (first, first + 1)]
    parts = {names[0]: ["fc.weight"], names[1]: ["fc.bias", "out.weight"]}
    folder.mkdir(exist_ok=True)
    for name, inside in parts.items():
        write({each: tensors[each] for each in inside}, str(folder / name))
    weight_map = {each: name for name, inside in parts.items() for each in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return np.concatenate([tensors[name].ravel() for name in tensors])


@pytest.mark.extra("safetensors")
@pytest.mark.parametrize("given", ["model-*", "*.json", "*", "*1-of-*"])
@pytest.mark.parametrize("first", [0, 1])
def test_shards_are_one_network(tmp_path, given, first):
    """Fault: half a network is taken for a smaller one, or the halves for two."""
    from safetensors.numpy import save_file

    wanted = [shards(tmp_path / f"step{t}", t, save_file, first) for t in range(3)]
    paths = sorted(tmp_path.glob(f"step*/{given}"))
    table = grokcrit.ingest(paths, pattern="step{step}/*")
    assert table["gradient"].to_pylist() == [each.tolist() for each in wanted]
    table = grokcrit.ingest(paths, pattern="step{step}/*", checkpoints=True)
    assert table["gradient"].to_pylist()[0] == (wanted[1] - wanted[0]).tolist()


@pytest.mark.extra("safetensors")
@pytest.mark.parametrize(
    "spelling",
    [
        "MODEL-{:05d}-OF-00002.SAFETENSORS",
        "model-{}-of-2.safetensors",
        "model_{:05d}-of-00002.safetensors",
        "part{}.safetensors",
    ],
)
def test_shards_of_other_spellings_are_one_network(tmp_path, spelling):
    """Fault: another way to write a number makes two networks of one."""
    from safetensors.numpy import save_file

    wanted = shards(tmp_path, 0, save_file, spelling=spelling)
    index = tmp_path / "model.safetensors.index.json"
    parts = sorted(path for path in tmp_path.glob("*") if path != index)
    for given in ([*parts, index], [index], parts, parts[1:]):
        assert grokcrit.ingest(given)["gradient"].to_pylist() == [wanted.tolist()]
    index.rename(tmp_path / "model.safetensors.index.fp16.json")
    assert grokcrit.ingest(tmp_path / "model.safetensors.index.fp16.json").num_rows == 1


def test_numbers_of_runs_are_not_those_of_shards(tmp_path):
    """Fault: run-1-of-3.npz is joined with the other runs, or cannot be read without them."""
    for k in (1, 2, 3):
        np.savez(tmp_path / f"run-{k}-of-3.npz", w=random(k).normal(size=5))
    paths = sorted(tmp_path.glob("*"))
    table = grokcrit.ingest(paths, pattern="run-{seed}-of-3.npz")
    assert table["seed"].to_pylist() == [1, 2, 3]
    for name in ("run-1-of-3.pt", "epoch1-of-100.pth", "run-1-of-3.npz"):
        assert saved_shards.shard(name) is None


@pytest.mark.extra("safetensors")
def test_shards_that_are_missing_doubled_or_misplaced_are_named(tmp_path):
    """Fault: a part of a network passes for it."""
    from safetensors.numpy import save_file

    shards(tmp_path, 0, save_file)
    one, two = sorted(tmp_path.glob("model-*"))
    index = tmp_path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"]["fc.bias"] = one.name
    index.write_text(json.dumps(content))
    with pytest.raises(TableError, match=r"'fc\.bias' is in model-00001"):
        grokcrit.ingest(index)
    save_file(parameters(4, 0, 0), str(two))
    with pytest.raises(TableError, match="'fc.weight' is in two shards"):
        grokcrit.ingest([one, two])
    two.unlink()
    with pytest.raises(TableError, match=r"shards, .*00002-of-00002\.safetensors is missing"):
        grokcrit.ingest(one)
    for text in ("[]", "{", '{"weight_map": {"a": "../x.safetensors"}}'):
        index.write_text(text)
        with pytest.raises(TableError, match=r"index\.json"):
            grokcrit.ingest(index)


# --- PyTorch files --------------------------------------------------------------------------------


def copied(state):
    return {name: values.clone() for name, values in state.items()}


@pytest.mark.extra("torch")
@pytest.mark.parametrize(
    ("nest", "keys", "shown"),
    [
        (
            lambda s, loose: {"epoch": 1, "net": s, "loss": loose},
            {"net": 24},
            ["choose with --key 'net'"],
        ),
        (
            lambda s, loose: {"model": {"encoder": s, "decoder": copied(s)}, "loss": loose},
            {"model.encoder": 24, "model.*": 48},
            ["'model.encoder', 'model.decoder'", "--key 'model.encoder' or 'model.*' (all)"],
        ),
        (
            lambda s, loose: {"encoder": s, "decoder": copied(s)},
            {"encoder": 24, "*": 48},
            ["--key 'encoder' or '*' (all)"],
        ),
        (
            lambda s, loose: {**s, "optimizer": {"state": {0: {"exp_avg": s["fc.bias"]}}}},
            {".": 24},
            ["choose with --key '.' (the tensors beside them)"],
        ),
        (
            lambda s, loose: {"optim": {"state": {0: {"exp_avg": s["fc.bias"]}}}, "net": s},
            {"net": 24, "*": 24},
            ["choose with --key 'net' or '*' (all)"],
        ),
        (
            lambda s, loose: {"state": {"model": s, "optim": {"x": s["fc.bias"]}}},
            {"state.model": 24, "state.*": 24},
            ["choose with --key 'state'"],
        ),
        (
            lambda s, loose: {"a": {"b": s}, "a.b": {"c": {"w": s["fc.weight"]}}},
            {"a.*": 24, "a.b.*": 12, "a.b.c": 12},
            ["'a', 'a.b'"],
        ),
    ],
)
def test_dicts_beside_tensors_are_refused_and_a_key_chooses(tmp_path, nest, keys, shown):
    """Fault: a loss of one entry is taken for the network that lies beside it."""
    import torch

    state = {name: torch.from_numpy(v) for name, v in parameters(4, 0, 0).items()}
    path = tmp_path / "x.pt"
    torch.save(nest(state, torch.tensor(0.5)), path)
    with pytest.raises(TableError, match="choose with --key") as caught:
        grokcrit.ingest(path)
    for word in shown:
        assert word in str(caught.value)
    for key, n in keys.items():
        assert grokcrit.ingest(path, key=key)["n_params"].to_pylist() == [n]
    for wrong in ("nothing", f"{key}.wrong"):
        with pytest.raises(TableError, match=re.escape(f"--key '{wrong}'; there are '")):
            grokcrit.ingest(path, key=wrong)


@pytest.mark.extra("torch")
@pytest.mark.parametrize("key", ["state", "models"])
def test_a_key_of_several_networks_chooses_none_of_them(tmp_path, key):
    """Fault: Adam's moments, or a second network, are counted with the network that was meant."""
    import torch

    state = {"w": torch.ones(4)}
    torch.save({key: {"net": state, "optim": state}}, tmp_path / "x.pt")
    with pytest.raises(TableError, match=rf"choose with --key '{key}\.net' or '{key}\.\*'"):
        grokcrit.ingest(tmp_path / "x.pt", key=key)
    torch.save({"state": {0: {"exp_avg": torch.ones(4)}}, "param_groups": []}, tmp_path / "y.pt")
    with pytest.raises(TableError, match="state of an optimizer"):
        grokcrit.ingest(tmp_path / "y.pt")


@pytest.mark.extra("torch")
def test_a_configuration_does_not_hide_the_network(tmp_path):
    """Fault: a dict of settings under model is taken for the network, and there are no tensors."""
    import torch

    held = {"model": {"name": "gpt", "dim": 8}, "state_dict": {"w": torch.ones(4)}}
    torch.save(held, tmp_path / "x.pt")
    assert grokcrit.ingest(tmp_path / "x.pt")["n_params"].to_pylist() == [4]


@pytest.mark.extra("torch")
@pytest.mark.parametrize("ending", [".pth.tar", ".pt.tar", ".PTH"])
def test_the_endings_of_pytorch_are_read(tmp_path, ending):
    """Fault: .pth.tar, as the ImageNet example saves, is said to be no file of tensors."""
    import torch

    torch.save({"state_dict": {"w": torch.ones(4)}, "epoch": 3}, tmp_path / f"x{ending}")
    table = grokcrit.ingest(tmp_path / f"x{ending}")
    assert table["gradient"].to_pylist() == [[1.0] * 4]


@pytest.mark.extra("torch")
def test_batch_norm_and_masks_of_pytorch_count_as_pytorch_counts(tmp_path):
    """Fault: the N of a model of which model.parameters() says another number."""
    import torch
    from torch import nn

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())
            self.out = nn.Linear(8, 2)
            self.register_buffer("bias", torch.tril(torch.ones(1, 1, 32, 32)))

        def forward(self, x):
            return self.out(self.body(x))

    torch.manual_seed(0)
    model = Masked()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        torch.save(model.state_dict(), tmp_path / f"8-0-{step}.pt")
        optimizer.zero_grad()
        x = torch.randn(16, 6)
        nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
    paths = sorted(tmp_path.glob("*.pt"))
    table = grokcrit.ingest(paths, checkpoints=True, pattern=PATTERN)
    assert set(table["n_params"].to_pylist()) == {sum(p.numel() for p in model.parameters())}
