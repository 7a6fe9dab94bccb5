"""Names of tensors: which a pattern chooses, what wrappers add to them, which are no parameters."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

# What torch.compile, FSDP, activation checkpointing and Lightning put into the names of what they
# wrap, at the start or in the middle.
WRAPPERS = (
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
    "_forward_module.",
)
# DataParallel's prefix is a plain word: it is taken off where every name starts with it.
PARALLEL = "module."
# Buffers by the last part of their name, where libraries give that name to buffers alone.
BUFFERS = re.compile(
    # statistics of normalisation: torch, Keras, Paddle, Chainer
    r"running_(?:mean|var|std)|num_batches_tracked|moving_(?:mean|variance|avg)|_mean|_variance|"
    r"avg_(?:mean|var)|"
    # positions and masks: Transformers
    r"(?:original_)?inv_freq|(?:cos|sin)_cached|freqs_cis|masked_bias|"
    r"(?:causal|attn|attention)_mask|position_ids|token_type_ids|relative_position_index|"
    # spectral norm by parametrization
    r"_u|_v|"
    # scales of quantisation and of 8-bit floats
    r"(?:weight_)?scale_inv|input_scale|amax_history|"
    # averaged codebooks, queues of keys, loads of experts: VQ-VAE, MoCo, mixtures of experts
    r"cluster_size|embed_avg|ema_w|queue|e_score_correction_bias|expert_counts|tokens_per_expert|"
    # states of optimizers: torch, TensorFlow
    r"exp_avg(?:_sq)?|momentum_buffer|Adam(?:_1)?|adam_[mv]|Momentum|ExponentialMovingAverage"
)
# Names that are those of buffers beside another name: codebooks beside the sizes of their clusters,
# statistics beside a count, what norms, pruning and noise put beside the weight as it was.
BESIDE = {
    "cluster_size": ("embed", "embedding", "codebook"),
    "count": ("mean", "var", "std"),
    "weight_orig": ("weight_u", "weight_v", "weight_mask"),
    "weight_bar": ("weight_u", "weight_v"),
    "bias_orig": ("bias_u", "bias_v", "bias_mask"),
    "weight_sigma": ("weight_epsilon",),
    "bias_sigma": ("bias_epsilon",),
}
# Parts of a name below which nothing is a parameter: statistics of flax and haiku, observers of
# quantisation, states of optimizers, averaged copies.
COLLECTIONS = re.compile(
    r"batch_stats|activation_post_process(?:_\d+)?|(?:.*_)?fake_quant(?:_\d+)?|"
    r"opt_state|optim|optimizers?|optimizer_states?|param_states|"
    r"(?:.*_)?ema|ema_(?:model|net|weights|params|cluster_size|dw)"
)
# Numbers that a program counts or logs beside its parameters, where they are single numbers.
COUNTS = re.compile(
    r"(?:global_|num_|n_|total_)?(?:steps?|iters?|iterations?|epochs?|updates|averaged|counts?)|"
    r"(?:step|update)_count|steps_(?:done|taken)|counter|num_batches_tracked|lr|learning_rate|"
    r"(?:best_|val_|train_|test_|eval_)?(?:loss|acc\d*|accuracy|ppl|perplexity)"
)
# The tensors of one layer, which are parameters together.
LAYER = frozenset(("weight", "bias", "kernel", "gamma", "beta", "w", "b"))
SCALED = frozenset(("scale", "bias", "offset"))
SEPARATORS = re.compile(r"[./\[\]'\"]+")


@functools.lru_cache(maxsize=2**16)
def parts_of(name: str) -> tuple[str, ...]:
    """Split a name as torch (a.b), flax (a/b), jax (["a"]["b"]) and Keras (a/b:0) join it."""
    parts = SEPARATORS.split(re.sub(r":\d+$", "", name))
    return tuple(part for part in parts if part) or (name,)


def buffers_among(entries: Mapping[str, int]) -> set[str]:
    """Return the tensors that are no parameters, by their names and numbers of entries."""
    known = {parts_of(name): count for name, count in entries.items()}

    def is_beside(stem: list[str], last: str) -> bool:
        marks = [mark for mark, names in BESIDE.items() if last in names]
        there = [mark for mark in marks if (*stem, mark) in known]
        return any(mark != "count" or known[(*stem, mark)] == 1 for mark in there)

    def is_buffer(name: str) -> bool:
        *stem, last = parts_of(name)
        return (
            BUFFERS.fullmatch(last) is not None
            or any(map(is_collection, (*stem, last)))
            or is_beside(stem, last)
            or (entries[name] == 1 and COUNTS.fullmatch(last) is not None)
        )

    return set(filter(is_buffer, entries))


@functools.lru_cache(maxsize=2**16)  # a series has the same names in every file
def is_collection(part: str) -> bool:
    """Return whether nothing below a part of a name is a parameter."""
    return COLLECTIONS.fullmatch(part) is not None


def layer_mates(name: str, names: Iterable[str], known: Iterable[str]) -> set[str]:
    """Return which of ``names`` are of the layer that a weight, a bias or a scale belongs to.

    A scale is part of a layer only where the network (``known``) has no other weight in it.
    """
    *stem, last = parts_of(name)
    there = {parts[-1] for parts in map(parts_of, known) if parts[:-1] == tuple(stem)}
    mates: frozenset[str] = frozenset()
    if last in LAYER:
        mates = LAYER - {last}
    elif last in SCALED and not there & {"weight", "kernel", "w"}:
        mates = SCALED - {last}
    if "bias" in last:  # in_proj_bias, bias_ih_l0
        mates = mates | {last.replace("bias", "weight"), "scale"}
    elif "weight" in last:
        mates = mates | {last.replace("weight", "bias")}
    return {other for other in names if parts_of(other) in {(*stem, mate) for mate in mates}}


def plain_names(names: Sequence[str], prefixes: Sequence[str] = ()) -> dict[str, str]:
    """Map names without prefixes to the full names; all stay full where two would be equal."""
    plain = {name: without(without_wrappers(name), prefixes) for name in names}
    # A count may lie beside what is wrapped, as that of an averaged model does.
    while any(n.startswith(PARALLEL) for n in plain.values()) and all(
        n.startswith(PARALLEL) or COUNTS.fullmatch(n) for n in plain.values()
    ):
        plain = {name: short.removeprefix(PARALLEL) for name, short in plain.items()}
    found = {short: name for name, short in plain.items() if short}
    return found if len(found) == len(plain) else {name: name for name in names}


def without_wrappers(name: str) -> str:
    """Take the prefixes of wrappers off a name or a pattern."""
    return without(name, WRAPPERS)


def without(name: str, prefixes: Sequence[str]) -> str:
    """Take prefixes off a name, at its start and after dots."""
    if not prefixes:
        return name
    ends = [prefix if prefix.endswith((".", "/")) else f"{prefix}." for prefix in prefixes]
    pattern = "|".join(map(re.escape, ends))
    return re.sub(rf"(^|(?<=[./]))(?:{pattern})+", "", name)


def chosen(
    names: Mapping[str, str], include: Sequence[str] | None, exclude: Sequence[str]
) -> list[str]:
    """Return the names that shell patterns choose, in their order; ``include`` None includes all.

    ``names`` maps plain names to those in the file; patterns may mean either. A pattern that is
    itself a name means that name alone: names of JAX hold brackets.
    """
    known = list(dict.fromkeys([*names, *names.values()]))
    included = set(known) if include is None else matching(known, include)
    excluded = matching(known, exclude)
    return [
        plain
        for plain, full in names.items()
        if {plain, full} & included and not {plain, full} & excluded
    ]


def matched(names: Mapping[str, str], patterns: Sequence[str]) -> set[str]:
    """Return the patterns that choose at least one name; see ``chosen``."""
    known = [*names, *names.values()]
    return {pattern for pattern in patterns if matching(known, [pattern])}


def matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Return the names that are, or match, one of the patterns."""
    known, found = set(names), set()
    for pattern in patterns:
        if pattern in known:
            found.add(pattern)
        else:
            found.update(name for name in names if fnmatchcase(name, pattern))
    return found


def quoted(name: str) -> str:
    """Quote a name so that it can be typed at a shell."""
    if "'" not in name:
        return f"'{name}'"
    return shlex.quote(name) if re.search(r'["$`\\!]', name) else f'"{name}"'


def some(names: Sequence[str], limit: int = 4) -> str:
    """List names, the first few of many."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
