"""From whatever a checkpoint holds to one model's named tensors: wrappers, training state and copies looked through."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from distributed.formats.agreement import Rows
from distributed.formats.copies import choose_copies
from distributed.formats.copy_names import is_copy, is_state, stem, words_of
from distributed.formats.naming import strip_prefixes
from distributed.formats.twins import ListIndex

#: Keys under which training scripts put the model's state dict.
WRAPPER_KEYS = frozenset(
    {
        *("state_dict", "model_state_dict", "model_state", "model_dict", "model", "model_weights", "module", "modules"),
        *("net", "network", "net_state_dict", "network_state_dict", "params", "params_ema", "parameters", "param"),
        *(
            "weights",
            "weight",
            "state",
            "generator",
            "netG",
            "net_g",
            "g_ema",
            "G_ema",
            "ema",
            "ema_model",
            "model_ema",
        ),
        *("ema_state_dict", "state_dict_ema", "model_ema_state_dict", "teacher", "student", "shadow", "raw_model"),
        *("checkpoint", "data", "backbone_state_dict", "encoder_state_dict", "online_network", "averaged_model"),
    }
)

_OPTIMIZER = re.compile(
    r"(?i:optim(?!al|um|i[sz]ed|is[mt])|^solver$|(^|_)adam(w|ax)?(_|\d|$)|^sgd$)|^opt([A-Z_\d].*)?$"
)
_SCHEDULER = re.compile(
    r"sched(?!uled)|^scalers?(_?(state|dict|\d+))*$|grad_?scaler|amp_scaler|^amp$|^loss_?scaler", re.IGNORECASE
)
_TRAINING_STATE = re.compile(
    r"^(callbacks|loops|hyper_parameters|hparams|rng_states?|.*_rng_state|random_state|meta|args|cfg|config|opt"
    r"|metrics?|loss(es)?|history|stats|datamodule|train_?loader|sampler|best_(acc|loss|score|metric|prec1).*)$",
    re.IGNORECASE,
)
#: Optimizer moments in a flattened file: ``….exp_avg``.
_MOMENT_LEAVES = frozenset({"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg"})
#: Single values that averaging code keeps beside the names of a network, in the way of their common prefix.
_COUNTERS = frozenset({"n_averaged", "num_averaged", "num_updates", "step", "steps", "initted", "decay", "epoch"})

_MAX_DEPTH = 32

#: Characters of the keys that lead to a tensor; more are no names.
_LONGEST_PATH = 1024


class TensorLike(Protocol):
    """What selection needs to know of a tensor."""

    @property
    def shape(self) -> Sequence[int]: ...


T = TypeVar("T", bound=TensorLike)


@dataclass(frozen=True)
class Selection(Generic[T]):
    """The model's tensors by their final names, in the order of definition, and what was left aside."""

    tensors: Mapping[str, T]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Item(Generic[T]):
    containers: tuple[str, ...]
    key: str
    tensor: T


def select_state_dict(
    tree: object,
    tensor_type: type[T],
    *,
    sample: Callable[[Sequence[T]], Sequence[Rows | None]],
    prefer_ema: bool = False,
    wanted: Callable[[str], bool] = lambda name: False,
) -> Selection[T]:
    """The model inside a loaded checkpoint.

    Args:
        tree: nested mappings and sequences whose leaves of ``tensor_type`` are tensors; everything else is ignored.
        tensor_type: type of the leaves.
        sample: reads some values of tensors (see ``agreement.rows_of``), asked for where two networks look alike.
        prefer_ema: take an averaged copy instead of its raw twin.
        wanted: whether the tensor of this full name stays, even if it is a copy.
    """
    notes: list[str] = []
    if isinstance(tree, tensor_type):
        return Selection({"tensor": tree}, ("the checkpoint is one bare tensor, without a name",))
    items = list(_Walk(tree, tensor_type, notes).items(tree, ()))
    items = _without_counters(_without_moments(items, notes), notes)
    full = [".".join((*item.containers, item.key)) for item in items]
    if len(set(full)) != len(full):  # {"a": {"b.c": …}, "a.b": {"c": …}}
        full = _numbered(full)
    heads = [tuple(part for segment in item.containers for part in _parts(segment)) for item in items]
    choice = choose_copies(
        full,
        [(*head, *_parts(item.key)) for head, item in zip(heads, items, strict=True)],
        [len(head) for head in heads],
        [tuple(item.tensor.shape) for item in items],
        prefer_ema=prefer_ema,
        sample=lambda indices: sample([items[index].tensor for index in indices]),
        wanted=wanted,
    )
    notes.extend(choice.notes)
    place = dict(zip(full, items, strict=True))
    # A copy goes by its twin's place; its data stays its own.
    kept = [_Item(place[name].containers, place[name].key, items[index].tensor) for index, name in choice.kept]
    names = _final_names(kept)
    if len(set(names)) != len(names) or not all(names):
        names = [name for _, name in choice.kept]
    return Selection({name: item.tensor for name, item in zip(names, kept, strict=True)}, tuple(notes))


class _Walk(Generic[T]):
    """Goes through a checkpoint's containers once; what is left aside becomes notes."""

    def __init__(self, tree: object, tensor_type: type[T], notes: list[str]) -> None:
        self._tensor_type, self._notes = tensor_type, notes
        self._seen: set[int] = set()
        self._with_tensors = _holders(tree, lambda value: isinstance(value, tensor_type))
        self._with_weights = _holders(tree, lambda value: isinstance(value, tensor_type) and len(value.shape) > 1)

    def items(self, node: object, path: tuple[str, ...]) -> Iterator[_Item[T]]:
        """The tensors below a container, without optimizers, schedulers and other training state."""
        where = ".".join(path)
        # A container met twice (the same object under two keys, or a cycle) is one model, not two.
        if id(node) in self._seen:
            if self._holds_tensors(node):
                self._notes.append(f"left out {where!r}: the same object as one before")
            return
        self._seen.add(id(node))
        if isinstance(node, Mapping):
            children = [(_text(key), value) for key, value in node.items()]
        elif isinstance(node, (list, tuple)):
            children = [(ListIndex(index), value) for index, value in enumerate(node)]
        else:
            return
        if len(path) > _MAX_DEPTH or len(where) > _LONGEST_PATH:
            self._notes.append(f"left out {where[:80]!r}: nested more than {_MAX_DEPTH} levels deep")
            return
        has_model = any(key in WRAPPER_KEYS and self._holds_tensors(value) for key, value in children)
        for key, value in children:
            label = ".".join((*path, key))
            if isinstance(value, self._tensor_type):
                if has_model and len(value.shape) <= 1:
                    self._notes.append(f"left out {label!r}: a single value beside the model")
                else:
                    yield _Item(path, key, value)
            elif isinstance(value, (Mapping, list, tuple)) and value:
                kind = None if id(value) in self._seen else _training_state(key, value)
                # Means and histories have no matrices; a model has.
                if kind is None and has_model and self._holds_tensors(value) and id(value) not in self._with_weights:
                    kind = "training state"
                if kind is None:
                    yield from self.items(value, (*path, key))
                elif kind != "training state" or self._holds_tensors(value):
                    self._notes.append(f"left out {kind} {label!r}")

    def _holds_tensors(self, value: object) -> bool:
        return isinstance(value, self._tensor_type) or id(value) in self._with_tensors


def _holders(tree: object, is_wanted: Callable[[object], bool]) -> set[int]:
    """Ids of the containers with a wanted value anywhere below; each is looked at once, so cycles end."""
    parents: dict[int, list[int]] = {id(tree): []}
    pending, holders = [tree], set[int]()
    while pending:
        node = pending.pop()
        for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, (list, tuple)) else ():
            if is_wanted(child):
                holders.add(id(node))
            elif isinstance(child, (Mapping, list, tuple)):
                if id(child) not in parents:
                    pending.append(child)
                parents.setdefault(id(child), []).append(id(node))
    above = [parent for holder in holders for parent in parents[holder]]
    while above:
        holder = above.pop()
        if holder not in holders:
            holders.add(holder)
            above += parents[holder]
    return holders


def _training_state(key: str, value: object) -> str | None:
    elements = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(element, Mapping) and "param_groups" in element for element in elements):
        return "optimizer state"
    # A sub-model may be named alike, but only a sub-model has names that end so.
    is_state_dict = isinstance(value, Mapping) and any(isinstance(k, str) and k.endswith(".weight") for k in value)
    if is_state_dict:
        return None
    if _OPTIMIZER.search(key):
        return "optimizer state"
    if _SCHEDULER.search(key):
        return "scheduler or scaler state"
    return "training state" if _TRAINING_STATE.match(key) else None


def _without_moments(items: list[_Item[T]], notes: list[str]) -> list[_Item[T]]:
    """Leave out optimizer tensors of flattened files (``optimizer.….exp_avg``) and gradients (``conv.weight.grad``)."""
    kept: list[_Item[T]] = []
    dropped: dict[str, int] = {}
    known = {(item.containers, item.key) for item in items}
    gradients = 0
    for item in items:
        if item.key.endswith(".grad") and (item.containers, item.key.removesuffix(".grad")) in known:
            gradients += 1
            continue
        segments = item.key.split(".")
        is_optimizer = len(segments) > 1 and (
            segments[-1] in _MOMENT_LEAVES or segments[0].lower() in ("optimizer", "optimizers", "optim")
        )
        if is_optimizer:
            dropped[segments[0]] = dropped.get(segments[0], 0) + 1
        else:
            kept.append(item)
    notes.extend(f"left out optimizer state {head!r} ({count} tensors)" for head, count in dropped.items())
    notes.extend([f"left out {gradients} gradients beside their weights"] * (gradients > 0))
    return kept


def _without_counters(items: list[_Item[T]], notes: list[str]) -> list[_Item[T]]:
    """Leave out ``n_averaged`` and the like, which stand in the way of the names' common prefix."""
    kept: list[_Item[T]] = []
    for item in items:
        if item.key in _COUNTERS and math.prod(item.tensor.shape) <= 1:
            label = ".".join((*item.containers, item.key))
            notes.append(f"left out {label!r}: a single value beside the model")
        else:
            kept.append(item)
    return kept


def _final_names(items: Sequence[_Item[T]]) -> list[str]:
    """Names relative to the model: wrapper keys dropped where they are alone, sub-models side by side keep theirs."""
    heads = list(dict.fromkeys(item.containers[0] if item.containers else None for item in items))
    if heads == [None] or not items:
        return strip_prefixes([item.key for item in items])
    names = [""] * len(items)
    for head in heads:
        members = [i for i, item in enumerate(items) if (item.containers[0] if item.containers else None) == head]
        inner = _final_names([_Item(items[i].containers[1:], items[i].key, items[i].tensor) for i in members])
        drop = head is None or (len(heads) == 1 and (head in WRAPPER_KEYS or _says_only_when(head)))
        for i, name in zip(members, inner, strict=True):
            names[i] = name if drop else f"{head}.{name}"
    return names


def _says_only_when(key: str) -> bool:
    """Whether a key marks a copy or a state of the network and nothing else (``swa_model``, ``best_state_dict``)."""
    words = words_of([key])
    return (is_copy(words) or is_state(words)) and not stem(words)


def _parts(segment: str) -> list[str]:
    return [segment] if isinstance(segment, ListIndex) else segment.split(".")


def _numbered(names: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    result = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        result.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return result


def _text(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return key if isinstance(key, str) else str(key)[:80]
