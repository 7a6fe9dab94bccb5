"""Train some seeds of one width with the recorder in the loop: a few lines are grokcrit's.

python train.py --width 32 --seeds 3 --steps 300 --every 10 --out build/parts
"""

from __future__ import annotations

import argparse

import torch
from gpt import BLOCKS, GPT, HEADS, loss_and_accuracy
from text import BATCH, CONTEXT, batches, tokens

from grokcrit.torch import GradientRecorder


def train(given: argparse.Namespace, seed: int) -> None:
    """Train one run, recorded."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    characters, known, held_out = tokens()
    model = GPT(characters, given.width, CONTEXT, BLOCKS, HEADS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    judged = torch.Generator().manual_seed(0)
    tests = [batches(held_out, judged) for _ in range(4)]
    # Two batches from disjoint halves of the text, the same at every step.
    fixed = [batches(half, judged) for half in known.chunk(2)]
    halves = [lambda batch=batch: loss_and_accuracy(model, *batch)[0] for batch in fixed]

    with GradientRecorder(
        given.out,
        task="sums-in-words",
        width=given.width,
        seed=seed,
        every=given.every,
        keep="avalanches",
        signals="all" if given.signals else None,
        configuration={"lr": 3e-3, "weight_decay": 0.1, "batch": BATCH, "context": CONTEXT},
    ) as recorder:
        for step in range(given.steps + 1):
            loss, accuracy = loss_and_accuracy(model, *batches(known, generator))
            optimizer.zero_grad()
            loss.backward()
            if recorder.due(step):
                with torch.no_grad():
                    test = [loss_and_accuracy(model, *each)[1] for each in tests]
                recorder.record(
                    model,
                    step,
                    loss=loss,
                    train_accuracy=accuracy,
                    test_accuracy=torch.stack(test).mean(),
                    halves=(*halves, BATCH),
                )
            optimizer.step()
    print(
        f"width {given.width}, seed {seed}: {recorder.snapshots} snapshots, loss {loss:.3f}, "
        f"test accuracy {torch.stack(test).mean():.3f}, "
        f"recording took {1e3 * recorder.seconds:.0f} ms"
    )


def main() -> None:
    """Read the command line, train every seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("width", 32), ("seeds", 3), ("steps", 300), ("every", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", default="build/parts")
    parser.add_argument("--signals", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)  # widths are spread over the cores, by make -j
    for seed in range(given.seeds):
        train(given, seed)


if __name__ == "__main__":
    main()
