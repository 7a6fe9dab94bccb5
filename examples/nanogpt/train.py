"""Train some seeds of one width with the recorder in the loop: a few lines are grokcrit's.

python train.py --width 32 --seeds 3 --steps 300 --every 10 --out build/parts
"""

from __future__ import annotations

import argparse

import torch
from gpt import GPT
from text import corpus
from torch.nn import functional

from grokcrit.torch import GradientRecorder

CONTEXT, BATCH, BLOCKS, HEADS = 48, 16, 2, 4


def batches(text: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw windows of the text, and what follows each of their characters."""
    starts = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=generator)
    windows = torch.stack([text[start : start + CONTEXT + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def loss_and_accuracy(
    model: GPT, x: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean cross-entropy in nats, and the share of characters foretold."""
    logits = model(x)
    right = (logits.argmax(-1) == y).float().mean()
    return functional.cross_entropy(logits.flatten(0, 1), y.flatten()), right


def train(given: argparse.Namespace, seed: int) -> None:
    """Train one run, recorded."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    texts = corpus()
    characters = sorted(set("".join(texts)))
    known, held_out = (torch.tensor([characters.index(c) for c in text]) for text in texts)
    model = GPT(len(characters), given.width, CONTEXT, BLOCKS, HEADS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    judged = torch.Generator().manual_seed(0)
    tests = [batches(held_out, judged) for _ in range(4)]

    with GradientRecorder(
        given.out,
        task="sums-in-words",
        width=given.width,
        seed=seed,
        every=given.every,
        keep="avalanches",
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
    given = parser.parse_args()
    torch.set_num_threads(1)  # widths are spread over the cores, by make -j
    for seed in range(given.seeds):
        train(given, seed)


if __name__ == "__main__":
    main()
