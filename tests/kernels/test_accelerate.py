"""How functions are compiled, and that compiled and interpreted agree."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grokcrit.kernels.accelerate import align_times, jit

REPOSITORY = Path(__file__).parents[2]

SCRIPT = """
import sys
import numpy as np
from grokcrit.cascades.graphs import graph
from grokcrit.kernels import mlp
from grokcrit import cascade as one, train

rng = np.random.default_rng(5)
out = {}
for dtype in (np.float64, np.float32):
    for rule in ("diffuse", "reset"):
        g = rng.standard_normal(161).astype(dtype)
        for k, alpha in enumerate((0.3, 1.0)):
            r = one(g, graph("ba", 161), alpha=alpha, rule=rule, quantile=80)
            name = f"{np.dtype(dtype).name}-{rule}-{k}"
            out[name] = r.gradient
            out[name + "-counts"] = [r.size, r.area, r.duration, r.peak, r.truncated]
            out[name + "-theta"] = r.threshold
            out[name + "-activity"] = r.activity
out["gini"] = mlp.gini(rng.standard_normal(40), np.arange(40))
record = train(hidden=5, seeds=1, epochs=9)
out["xor"] = record["gradient"].combine_chunks().values.to_numpy()
from grokcrit.systems import SYSTEMS
from grokcrit.stages.simulate import simulate
for system in SYSTEMS:
    made = simulate(system, size=5, seeds=1, avalanches=60, warmup=20)
    out[system] = [made[name].to_numpy() for name in ("size", "area", "duration", "peak")]
small = {"bits": 11, "relevant": 2, "samples": 20, "hidden": 5, "seeds": 1, "epochs": 2}
made = train(task="parity", snapshot_every=1, **small)
out["parity"] = made["gradient"].combine_chunks().values.to_numpy()
np.savez(sys.argv[1], **out)
"""


def run_script(folder, name, **environment):
    target = folder / name
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, target],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(target) as loaded:
        return {key: loaded[key].tobytes() for key in loaded}


def test_compiled_and_interpreted_kernels_agree_to_the_bit(tmp_path):
    compiled = run_script(tmp_path, "compiled.npz", NUMBA_DISABLE_JIT="0")
    interpreted = run_script(tmp_path, "interpreted.npz", NUMBA_DISABLE_JIT="1")
    assert len(compiled) == 41
    assert compiled == interpreted


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_function_without_a_place_for_a_cache_is_compiled_all_the_same():
    import numba

    names = {}
    exec("def double(x):\n    return 2 * x\n", names)  # no file: numba refuses to cache it
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(names["double"])
    compiled = jit(names["double"])
    assert compiled(3) == 6
    assert compiled.signatures


@pytest.mark.parametrize("edited_at", [3000, 1000], ids=["later", "after-the-clock-went-back"])
def test_an_edit_of_one_source_gives_all_a_time_that_none_had(tmp_path, edited_at):
    sources = [tmp_path / f"{name}.py" for name in "abc"]
    for k, path in enumerate(sources):
        path.write_text("")
        os.utime(path, (1900 + 50 * k,) * 2)
    align_times(tmp_path)
    assert {path.stat().st_mtime for path in sources} == {2000}
    os.utime(sources[1], (edited_at,) * 2)
    align_times(tmp_path)
    (shared,) = {path.stat().st_mtime for path in sources}
    assert shared > 2000
    align_times(tmp_path)
    assert {path.stat().st_mtime for path in sources} == {shared}
