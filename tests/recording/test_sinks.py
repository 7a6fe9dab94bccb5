"""Sinks, each against the library that it writes for, which reads the numbers back."""

import csv as plain_csv
import json
import struct
import subprocess
import sys

import pytest

pytestmark = pytest.mark.extra("torch")

from grokcrit.base.errors import UnwritableError  # noqa: E402
from grokcrit.live import sinks  # noqa: E402
from grokcrit.live.numbers import NAMES  # noqa: E402

ROWS = [(0, {"density": 0.25, "gini": 0.5}), (50, {"density": 0.125, "density_over_null": 1.5})]


def fed(sink):
    for step, numbers in ROWS:
        sink(step, dict(numbers))


def flat():
    """(step, name, value) of all numbers."""
    return {(step, name, value) for step, numbers in ROWS for name, value in numbers.items()}


def test_csv_has_a_line_per_row_and_goes_on_in_a_file_that_is_there(tmp_path):
    """Would catch a header in the middle, and a missing number that shifts the others."""
    path = tmp_path / "deep/numbers.csv"
    for _ in range(2):
        fed(sinks.csv(path))
    with path.open() as file:
        lines = list(plain_csv.DictReader(file))
    assert len(lines) == 4
    assert lines[0].keys() == {"step", *NAMES}
    found = {
        (int(line["step"]), name, float(line[name]))
        for line in lines
        for name in NAMES
        if line[name]
    }
    assert found == flat()


def test_csv_that_cannot_be_written_is_told_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableError, match="numbers.csv"):
        sinks.csv(tmp_path / "file/numbers.csv")


@pytest.mark.extra("tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("given", ["folder", "writer"])
def test_tensorboard(tmp_path, given):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    fed(sinks.tensorboard(tmp_path if given == "folder" else SummaryWriter(str(tmp_path))))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = {
        (scalar.step, tag.removeprefix("grokcrit/"), scalar.value)
        for tag in events.Tags()["scalars"]
        for scalar in events.Scalars(tag)
    }
    assert found == flat()


WANDB = """
import json, wandb
from grokcrit.live import sinks
from tests.recording.test_sinks import ROWS, fed
with wandb.init(project="x", dir={folder!r}, mode="offline") as run:
    run.log({{"own": 1}}, step=70)  # another axis: ours may lag behind
    fed(sinks.wandb())
"""


@pytest.mark.extra("wandb")
def test_wandb_offline(tmp_path):
    """Would catch numbers that W&B drops because their step lies before that of another log."""
    done = subprocess.run(
        [sys.executable, "-c", WANDB.format(folder=str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    found = set()
    for data in records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        items = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in record.history.item
        }
        step = items.pop("grokcrit/step", None)
        found |= {
            (step, name.removeprefix("grokcrit/"), value)
            for name, value in items.items()
            if name.startswith("grokcrit/")
        }
    assert found == flat()


def records(log):
    """The records of a LevelDB log behind a header: checksum, length, type, in blocks of 32 KiB."""
    place, parts = 7, b""
    while place + 7 <= len(log):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", log, place + 4)
        parts += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


@pytest.mark.extra("mlflow")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("active", [True, False])
def test_mlflow_in_a_store_of_files(tmp_path, monkeypatch, active):
    import mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (tmp_path / "runs").as_uri()
    client = mlflow.MlflowClient(place)
    if active:
        mlflow.set_tracking_uri(place)
        with mlflow.start_run() as run:
            fed(sinks.mlflow())
    else:
        run = client.create_run("0")
        fed(sinks.mlflow(run.info.run_id, place))
    found = {
        (each.step, name.removeprefix("grokcrit/"), each.value)
        for name in client.get_run(run.info.run_id).data.metrics
        for each in client.get_metric_history(run.info.run_id, name)
    }
    assert found == flat()


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("tensorboard", "sinks.tensorboard('x')", "tensorboard"),
        ("wandb", "sinks.wandb()", "wandb"),
        ("mlflow", "sinks.mlflow()", "mlflow"),
        ("transformers", "__import__('grokcrit.live.huggingface')", "huggingface"),
        ("lightning", "__import__('grokcrit.live.lightning')", "lightning"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(monkeypatch, module, call, extra):
    """Would catch an import at the top that asks everybody for every library."""
    for name in [name for name in sys.modules if name.startswith(("grokcrit.live.h", module))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("grokcrit.live.lightning", module):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'grokcrit\[{extra}\]'"):
        eval(call, {"sinks": sinks})
