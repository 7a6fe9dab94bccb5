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
BUFFERS = frozenset(
    (
        # statistics of normalisation: torch, Keras
        "running_mean",
        "running_var",
        "running_std",
        "num_batches_tracked",
        "moving_mean",
        "moving_variance",
        "moving_avg",
        # positions and masks: Transformers
        "inv_freq",
        "original_inv_freq",
        "cos_cached",
        "sin_cached",
        "freqs_cis",
        "masked_bias",
        "causal_mask",
        "attn_mask",
        "attention_mask",
        "position_ids",
        "token_type_ids",
        "relative_position_index",
        "embed_scale",
        # spectral norm by parametrization
        "_u",
        "_v",
        # scales and ranges of quantisation and of 8-bit floats
        "weight_scale_inv",
        "input_scale",
        "amax_history",
        "scale_inv",
        "zero_point",
        "min_val",
        "max_val",
        # codebooks that are averaged, queues of keys: VQ-VAE, MoCo
        "cluster_size",
        "embed_avg",
        "ema_w",
        "queue",
    )
)
# Names that are those of buffers beside another name: codebooks beside the sizes of their clusters,
# statistics beside their count, the vectors of spectral norm beside the weight as it was.
BESIDE = {
    "cluster_size": ("embed", "embedding", "codebook"),
    "count": ("mean", "var", "std"),
    "weight_orig": ("weight_u", "weight_v"),
    "bias_orig": ("bias_u", "bias_v"),
}
# Parts of a name below which nothing is a parameter: statistics of flax and haiku, observers of
# quantisation, states of optimizers, averaged copies.
COLLECTIONS = re.compile(
    r"batch_stats|(?:mean|var)_ema|activation_post_process(?:_\d+)?|(?:.*_)?fake_quant(?:_\d+)?|"
    r"opt_state|optimizer_state|optimizer|model_ema|ema_model"
)
# Numbers that a program counts or logs beside its parameters, where they are single numbers.
COUNTS = re.compile(
    r"best_.*|val_.*|(?:.*_)?(?:steps?|iters?|iterations?|epochs?|counts?|counter|updates|averaged|"
    r"tracked|loss|lr|learning_rate|acc\d*|accuracy|ppl|perplexity)"
)
# The tensors of one layer, which are parameters together.
LAYER = frozenset(("weight", "bias", "kernel", "gamma", "beta", "w", "b"))
SEPARATORS = re.compile(r"[./\[\]'\"]+")


@functools.lru_cache(maxsize=2**16)
def parts_of(name: str) -> tuple[str, ...]:
    """Split a name as torch (a.b), flax (a/b), jax.tree_util.keystr (['a']['b']) and Keras join it.

    Keras ends names with a number: ``kernel:0``.
    """
    parts = SEPARATORS.split(re.sub(r":\d+$", "", name))
    return tuple(part for part in parts if part) or (name,)


def buffers_among(entries: Mapping[str, int]) -> set[str]:
    """Return which tensors are known by their names to be no parameters.

    Parameters
    ----------
    entries
        Name of each tensor of a network, and how many numbers it holds.
    """
    known = {parts_of(name) for name in entries}

    def is_buffer(name: str) -> bool:
        *stem, last = parts_of(name)
        return (
            last in BUFFERS
            or any(map(is_collection, (*stem, last)))
            or any((*stem, mark) in known for mark, names in BESIDE.items() if last in names)
            or (entries[name] == 1 and COUNTS.fullmatch(last) is not None)
        )

    return set(filter(is_buffer, entries))


@functools.lru_cache(maxsize=2**16)  # a series has the same names in every file
def is_collection(part: str) -> bool:
    """Return whether nothing below a part of a name is a parameter."""
    return COLLECTIONS.fullmatch(part) is not None


def layer_mates(name: str, names: Iterable[str]) -> set[str]:
    """Return the other tensors of the layer that a weight or a bias belongs to."""
    *stem, last = parts_of(name)
    if last not in LAYER:
        return set()
    mates = {(*stem, mate) for mate in LAYER - {last}}
    return {other for other in names if parts_of(other) in mates}


def plain_names(names: Sequence[str], prefixes: Sequence[str] = ()) -> dict[str, str]:
    """Map names to what they are without the prefixes of wrappers.

    Parameters
    ----------
    names
        Names of all tensors of a network.
    prefixes
        Further prefixes that are taken off, at the start of a name or after a dot.

    Returns
    -------
    dict
        Plain name to name. All names stay as they are where two would become one.
    """
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
    """Return the names that shell patterns choose, in their order.

    Parameters
    ----------
    names
        Plain names, each with the name that is in the file or the model; patterns may mean either.
    include, exclude
        Patterns. One that is itself a name means that name alone: names of JAX hold brackets, which
        are classes of characters in a pattern. None includes all.
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
