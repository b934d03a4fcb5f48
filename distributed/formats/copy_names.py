"""What the names of two networks of one shape say of each other. Names alone decide little: see ``copies``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

#: Marks of an average, a teacher or a frozen twin.
_COPY = frozenset(
    {
        *("ema", "emas", "swa", "avg", "average", "averaged", "averages", "polyak", "shadow", "teacher", "smooth"),
        *(
            "momentum",
            "target",
            "tgt",
            "slow",
            "running",
            "moving",
            "ma",
            "copy",
            "clone",
            "frozen",
            "ref",
            "reference",
        ),
        "lookahead",
    }
)
#: Marks of the network that such a copy is of.
_RAW = frozenset({"student", "online", "raw", "current", "context", "main", "base", "live", "train", "source", "orig"})
#: Names that mean something else than their words: moments of optimizers.
_MOMENTS = frozenset(
    {"exp_avg", "exp_avg_sq", "exp_avgs", "exp_avg_sqs", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"}
)
#: A key and its query are a copy and its original only as encoders of contrastive learning; else they are attention's.
_CONTRASTED = {
    **dict.fromkeys(("encoder_k", "key_encoder"), ("encoder", "teacher")),
    **dict.fromkeys(("encoder_q", "query_encoder"), ("encoder", "student")),
}

#: Marks of an earlier or later state of a network, by what is kept first: the network itself, the last, a counted one …
_STATES = {
    **dict.fromkeys(("last", "latest", "final"), 3),
    "best": 1,
    **dict.fromkeys(("prev", "previous", "old", "backup", "init", "initial"), 0),
}
_ITSELF, _OF_A_COUNT = 4, 2
_COUNTED = frozenset(
    {
        *("epoch", "epochs", "ep", "step", "steps", "iter", "iters", "iteration", "iterations", "ckpt", "ckpts"),
        *("checkpoint", "checkpoints", "snapshot", "snapshots"),
    }
)

#: Marks of values that belong to weights and are none. Those that are never negative are told by their values.
_NO_WEIGHTS = frozenset({"grad", "grads", "gradient", "gradients", "delta", "deltas", "velocity", "momenta"})

#: Words that say nothing about which network it is.
_GENERIC = frozenset(
    {
        *("model", "models", "net", "network", "module", "state", "states", "dict", "param", "params", "parameters"),
        *("weight", "weights", "wts", "mod", "mean"),
    }
)
_MARKS = _COPY | _RAW | _STATES.keys() | _COUNTED | _NO_WEIGHTS | _GENERIC
_SPELLINGS = {"g": "generator", "gen": "generator", "d": "discriminator", "disc": "discriminator"}


def words_of(path: Sequence[str]) -> list[str]:
    """The lower-case words of some segments of a name: ``netG_EMA`` → net, g, ema."""
    found: list[str] = []
    for segment in path:
        if segment in _MOMENTS:
            found.append("velocity")
        else:
            found.extend(_CONTRASTED.get(segment) or (word.lower() for word in _WORD.findall(segment)))
    return found


def is_marked(words: Sequence[str]) -> bool:
    """Whether they have a mark of a copy, of another state, or of something that is no weights."""
    return is_copy(words) or is_state(words) or is_no_weights(words)


def is_copy(words: Sequence[str]) -> bool:
    """Whether they have a mark of an average, a teacher or a frozen twin."""
    return not _COPY.isdisjoint(words)


def is_no_weights(words: Sequence[str]) -> bool:
    """Whether they have a mark of gradients and the like."""
    return not _NO_WEIGHTS.isdisjoint(words)


def is_state(words: Sequence[str]) -> bool:
    """Whether they name a point in time (``best``, ``epoch`` with a number)."""
    counted = not _COUNTED.isdisjoint(words) and number_of(words) is not None
    return counted or not _STATES.keys().isdisjoint(words)


def state_rank(words: Sequence[str]) -> tuple[int, int]:
    """Of two states of one network the one of the higher rank counts; of numbered ones the last."""
    ranks = [_STATES[word] for word in words if word in _STATES]
    ranks += [_OF_A_COUNT] * (not _COUNTED.isdisjoint(words))
    return min(ranks, default=_ITSELF), number_of(words) or 0


def number_of(words: Sequence[str]) -> int | None:
    """The last number among the words; None where there is none."""
    digits = [word for word in words if word.isdecimal()]
    # Capped so that a hostile name of thousands of digits cannot make int() refuse it.
    return int(digits[-1][:18]) if digits else None


def stem(words: Sequence[str], *, numbers: bool = False) -> frozenset[str]:
    """Which network of several it is: the words without marks and without those that say nothing."""
    return frozenset(
        _SPELLINGS.get(word, word) for word in words if word not in _MARKS and (numbers or not word.isdecimal())
    )
