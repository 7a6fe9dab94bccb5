"""Inputs and labels of sparse parity: functions of (root seed, seed), the same for all widths."""

from __future__ import annotations

import numpy as np

from grokcrit.base.rng import stream
from grokcrit.kernels.types import Samples
from grokcrit.tasks.parity import TEST, ParityOptions


def samples_of(options: ParityOptions, seed: int) -> tuple[Samples, Samples]:
    """Return the training and the test samples of a seed; no input is drawn twice.

    The first TEST inputs of one stream test, the next ones train: every cell has the same test
    inputs, and fewer training samples are the first of more.
    """
    rng = stream("parity-inputs", options.seed, options.bits, seed)
    drawn: dict[bytes, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    while len(drawn) < TEST + options.samples:
        bits = rng.random(options.bits) < 0.5
        drawn.setdefault(bits.tobytes(), bits)
    inputs = np.where(np.stack(list(drawn.values())), 1.0, -1.0)
    labels = inputs[:, relevant_bits(options, seed)].prod(1)
    test, train = labels[:TEST], labels[TEST:]
    if options.labels == "shuffled":
        # Each side keeps its labels, and nothing can be learnt from one for the other.
        rng = stream("parity-labels", options.seed, options.bits, seed)
        test, train = rng.permutation(test), rng.permutation(train)
    return Samples(inputs[TEST:], train), Samples(inputs[:TEST], test)


def relevant_bits(options: ParityOptions, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Draw the bits whose product is the label."""
    rng = stream("parity-relevant", options.seed, options.bits, seed)
    return rng.permutation(options.bits)[: options.relevant]
