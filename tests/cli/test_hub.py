"""``grokcrit ingest hf://org/name@revision``, from a server on the loopback address."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.hub_server import Hub, serving
from tests.shell import grokcrit, sentence

pytestmark = pytest.mark.extra("hub", "safetensors")

REPOSITORY = "org/toy-16m"
STEPS = [f"hf://{REPOSITORY}@step{step}" for step in (0, 10, 200)]
UNREACHABLE = "http://127.0.0.1:9"  # the port of discard


def tensors(step):
    rng = np.random.default_rng(step)
    return {"b": rng.standard_normal(4).astype("f4"), "w": rng.standard_normal(12).astype("f4")}


def single(step):
    from safetensors.numpy import save

    return {"model.safetensors": save(tensors(step)), "pytorch_model.bin": b"not asked for"}


def sharded(step):
    from safetensors.numpy import save

    places = {name: f"model-0000{k}-of-00002.safetensors" for k, name in enumerate("bw", 1)}
    files = {place: save({name: tensors(step)[name]}) for name, place in places.items()}
    return files | {"model.safetensors.index.json": json.dumps({"weight_map": places}).encode()}


@pytest.fixture(scope="module")
def hub():
    """A repository with a revision per step, one that is gated, one that has no network."""
    beside = {"README.md": b"# toy", "optimizer.pt": b"state", "config.json": b"{}"}
    networks = {"step0": single(0), "step10": sharded(10), "step200": single(200)}
    networks |= {"main": single(200), "step300": {}}
    revisions = {revision: files | beside for revision, files in networks.items()}
    made = Hub({REPOSITORY: revisions, "org/adapted": {"main": {"adapter_model.bin": b""}}})
    made.refused = {"org/gated": (403, "GatedRepo")}
    with serving(made):
        yield made


@pytest.fixture
def ingest(hub, tmp_path):
    """The command, with a cache of its own and the server as the Hub."""

    def run(*arguments, code=0, **env):
        hub.asked.clear()
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "", **env}
        return grokcrit("ingest", "--checkpoints", *arguments, cwd=tmp_path, code=code, env=env)

    return run


def rows(folder):
    table = pq.read_table(folder / "ingest.parquet").to_pylist()
    return {(r["task"], r["width"], r["epoch"]): r["gradient"] for r in table}


def changes(family, size):
    flat = {step: np.concatenate(list(tensors(step).values())) for step in (0, 10, 200)}
    pairs = ((0, 10), (10, 200))
    return {(family, size, b): (flat[b] - flat[a]).tolist() for a, b in pairs}


def test_revisions_are_downloaded_once_without_what_is_no_network(hub, ingest, tmp_path):
    """Fault: a repository is downloaded whole, again and again, or its index without the shards."""
    ingest(*STEPS)
    assert rows(tmp_path) == changes("toy-16m", 16)
    got = [file for method, file in hub.asked if method == "GET" and "." in file]
    shards = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    single = "model.safetensors"
    assert got == [single, f"{single}.index.json", *shards, single]
    for pattern in ("{family}-{size}@step{step}", "hf://org/{family}-{size}@*"):
        ingest(*STEPS, "--pattern", pattern, HF_HUB_OFFLINE="1")
        assert rows(tmp_path) == changes("toy", 16_000_000)
    ingest(tmp_path / "hf/hub/models--org--toy-16m", HF_ENDPOINT=UNREACHABLE)
    assert rows(tmp_path) == changes("toy-16m", 16)
    assert not [method for method, _ in hub.asked]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("hf://org/none@step1", 1, "no repository org/none"),
        (f"hf://{REPOSITORY}@step7", 1, "has no revision 'step7'"),
        ("hf://org/gated@step1", 1, "hf://org/gated@step1 is gated"),
        (f"hf://{REPOSITORY}@step300", 1, "@step300 holds no network"),
        (f"hf://{REPOSITORY}", 1, f"hf://{REPOSITORY}@main does not say of which step"),
        ("hf://org/adapted", 1, "adapter_model.bin"),
        ("hf://a/b/c", 2, "must be as in hf://org/name@revision"),
        ("hf://a--b/..", 1, "cannot download hf://a--b/..@main"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(ingest, name, code, words):
    """Fault: a traceback of an HTTP library, or an error that names neither cause nor remedy."""
    assert words in sentence(ingest(name, code=code))


def test_without_a_connection_the_name_and_the_reason_are_told(ingest):
    """Fault: being offline is said to be a repository that does not exist."""
    said = sentence(ingest(STEPS[0], code=1, HF_HUB_OFFLINE="1"))
    assert f"{STEPS[0]} is not in the cache" in said
    assert "offline mode" in said


@pytest.mark.slow
def test_a_hub_that_refuses_is_told_once_the_library_has_tried_again(ingest):
    """Fault: each attempt is a line of its own, or each file of the network is tried for long."""
    said = sentence(ingest(STEPS[0], code=1, HF_ENDPOINT=UNREACHABLE))
    assert "refused" in said


def test_without_the_library_the_extra_is_named(tmp_path):
    """Fault: a ModuleNotFoundError where one command would do."""
    script = (
        "import sys; sys.modules['huggingface_hub'] = None; "
        "from grokcrit.cli import main; sys.argv = ['grokcrit', *sys.argv[1:]]; main()"
    )
    line = [sys.executable, "-c", script, "ingest", "--checkpoints", STEPS[0]]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "pip install 'grokcrit[hub]'" in sentence(done)
