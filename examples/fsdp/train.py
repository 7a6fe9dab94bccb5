"""Train a small GPT sharded by FSDP2, with a recorder that samples its gradient.

torchrun --nproc-per-node 2 train.py --width 32 --seed 0 --steps 300 --every 10 --out build
python train.py ...     the same training in one process, not sharded
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.fsdp import fully_shard

from grokcrit.torch import GradientRecorder

sys.path.append(str(Path(__file__).resolve().parents[1] / "nanogpt"))
from gpt import BLOCKS, GPT, HEADS, loss_and_accuracy
from text import BATCH, CONTEXT, batches, tokens


def train(given: argparse.Namespace, rank: int, processes: int) -> None:
    """Train one run, recorded."""
    characters, known, held_out = tokens()
    torch.manual_seed(given.seed)
    model = GPT(characters, given.width, CONTEXT, BLOCKS, HEADS)
    entries = sum(p.numel() for p in model.parameters())
    if distributed.is_initialized():
        mesh = distributed.init_device_mesh("cpu", (processes,))
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    generator = torch.Generator().manual_seed(given.seed)
    judged = torch.Generator().manual_seed(0)
    tests = [batches(held_out, judged) for _ in range(4)]
    mine = slice(rank, None, processes)  # of each batch: all processes draw the same ones

    with GradientRecorder(
        given.out / "parts",
        task="sums-in-words",
        width=given.width,
        seed=given.seed,
        every=given.every,
        keep="avalanches",
        sample="50%",
        configuration={"lr": 3e-3, "weight_decay": 0.1, "batch": BATCH, "context": CONTEXT},
    ) as recorder:
        for step in range(given.steps + 1):
            due = recorder.due(step)  # the same in every process
            if due:  # evaluate first: a forward pass after the backward hides gradients
                with torch.no_grad():
                    test = sum(loss_and_accuracy(model, *each)[1] for each in tests) / len(tests)
            x, y = batches(known, generator)
            loss, _ = loss_and_accuracy(model, x[mine], y[mine])
            optimizer.zero_grad()
            loss.backward()
            if due:
                mean = loss.detach() / processes
                if processes > 1:
                    distributed.all_reduce(mean)
                recorder.record(model, step, loss=mean, test_accuracy=test)
            optimizer.step()
    if rank == 0:
        print(
            f"width {given.width}, seed {given.seed}: {entries} parameters, "
            f"{recorder.snapshots} rows, test accuracy {test:.3f}, "
            f"recording took {1e3 * recorder.seconds:.0f} ms"
        )


def main() -> None:
    """Read the command line, train one run in all processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("width", 32), ("seed", 0), ("steps", 300), ("every", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--double", action="store_true", help="train in double precision")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.double:
        torch.set_default_dtype(torch.float64)
    if not distributed.is_torchelastic_launched():
        train(given, 0, 1)
        return
    distributed.init_process_group("gloo")
    train(given, distributed.get_rank(), distributed.get_world_size())
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
