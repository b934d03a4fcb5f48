"""Entries of a checkpoint gathered into weights: plain ones and reparametrised ones, whose parts belong together."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from distributed.convolutions.plan import WeightForm
from distributed.convolutions.scales import normalised, scaled
from distributed.convolutions.stored import StoredWeight
from distributed.formats.base import TensorEntry

#: Types that are read into float32. Everything else (integers, 4 and 6 bit, complex, quantised) is not a plain weight.
FLOATING = frozenset(
    {
        *("float64", "float32", "float16", "bfloat16"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    }
)

_PARAMETRIZED = re.compile(r"^(?P<module>.*?)parametrizations\.(?P<leaf>[^.]+)\.(?P<part>original\d*|\d+\..+)$")

#: Names of tensors that are no parameters: statistics, counters, masks, power-iteration vectors, index tables.
_BUFFER = re.compile(
    r"(^|\.|_)(running_mean|running_var|running_std|num_batches_tracked|weight_mask|bias_mask|weight_u"
    r"|weight_scale|weight_scale_inv|scale_weight|weight_zero_point|input_scale|scale_input"
    r"|relative_position_index|relative_coords_table|attn_mask|position_ids|anchor_grid|anchors|total_ops|total_params)$"
    r"|(^|\.)parametrizations\.[^.]+\.\d+\._[uv]$"
    r"|(^|\.)(u\d+|sv\d+|sn_u|sn_sigma)$"
)


def gather_weights(entries: Sequence[TensorEntry]) -> list[StoredWeight]:
    """Every entry as a weight of its own or as part of a reparametrised one, at the place of its kernels."""
    by_name = {entry.name: entry for entry in entries}
    by_module: defaultdict[str, list[str]] = defaultdict(list)
    for name in by_name:
        module, _, leaf = name.rpartition(".")
        by_module[module].append(leaf)
    parametrized = _parametrized(entries)
    weights: list[StoredWeight] = []
    taken: set[str] = set()
    for entry in entries:
        if entry.name in taken:
            continue
        weight = (
            parametrized.get(entry.name)
            or _suffixed(entry, by_name)
            or scaled(entry, by_name, by_module)
            or normalised(entry, by_name)
            or _plain(entry)
        )
        taken.update(weight.parts)
        if weight.form is not None and weight.form is not WeightForm.PLAIN:
            # weight_norm's v may come first or second: the weight stands where its first part does.
            taken.add(entry.name)
        weights.append(weight)
    # A scale may stand before its weight, and have four dimensions.
    scales = {part for weight in weights if weight.form is WeightForm.SCALED for part in weight.parts[1:]}
    return [weight for weight in weights if weight.name not in scales]


def _plain(entry: TensorEntry) -> StoredWeight:
    form = WeightForm.DEQUANTISED if entry.is_dequantised else WeightForm.PLAIN
    return StoredWeight(entry.name, entry.shape, entry.dtype, (entry.name,), form)


def _suffixed(entry: TensorEntry, by_name: Mapping[str, TensorEntry]) -> StoredWeight | None:
    """``weight_g/_v`` (weight_norm), ``weight_orig`` with ``_u/_v`` (spectral_norm) or ``_mask`` (pruning).

    ``weight_bar`` is what spectral norms from before torch's own call the original weight.
    """
    base, _, suffix = entry.name.rpartition("_")
    if suffix not in ("g", "v", "orig", "bar", "mask", "u") or not base:
        return None
    g, v, u, orig, bar, mask = (by_name.get(f"{base}_{s}") for s in ("g", "v", "u", "orig", "bar", "mask"))
    orig = orig or bar
    if orig is not None:
        candidates = [part for part in (u, v, mask) if part is not None]
        if u is not None and v is not None and mask is None:
            form, parts = WeightForm.SPECTRAL_NORM, (orig, u, v)
        elif mask is not None and mask.shape == orig.shape and u is None and v is None:
            return StoredWeight(base, orig.shape, orig.dtype, (orig.name, mask.name), WeightForm.PRUNED)
        else:
            # A weight stored beside it (old spectral_norm) speaks for itself; else nobody knows the formula.
            names = (orig.name, *(part.name for part in candidates))
            return StoredWeight(base if base not in by_name else orig.name, orig.shape, orig.dtype, names, None)
        return StoredWeight(base, orig.shape, orig.dtype, tuple(part.name for part in parts), form)
    if g is not None and v is not None and _is_norm_of(g.shape, v.shape):
        return StoredWeight(base, v.shape, v.dtype, (g.name, v.name), WeightForm.WEIGHT_NORM)
    return None


def _is_norm_of(g: tuple[int, ...], v: tuple[int, ...]) -> bool:
    """Whether ``g`` can hold the norms of ``v`` over all dimensions but one, or over all."""
    if not g:
        return True
    if len(g) != len(v):
        return False
    kept = [d for d, extent in enumerate(g) if extent != 1]
    return not kept or (len(kept) == 1 and g[kept[0]] == v[kept[0]])


def _parametrized(entries: Sequence[TensorEntry]) -> dict[str, StoredWeight]:
    """Weights under ``torch.nn.utils.parametrize``, by the name of each of their parts."""
    groups: dict[str, dict[str, TensorEntry]] = {}
    for entry in entries:
        match = _PARAMETRIZED.match(entry.name)
        if match:
            groups.setdefault(match["module"] + match["leaf"], {})[match["part"]] = entry
    found: dict[str, StoredWeight] = {}
    for name, parts in groups.items():
        form: WeightForm | None
        order: tuple[str, ...]
        if parts.keys() == {"original0", "original1"} and _is_norm_of(
            parts["original0"].shape, parts["original1"].shape
        ):
            form, order = WeightForm.WEIGHT_NORM, ("original0", "original1")
        elif parts.keys() == {"original", "0._u", "0._v"}:
            form, order = WeightForm.SPECTRAL_NORM, ("original", "0._u", "0._v")
        else:
            form, order = None, tuple(parts)
        kernels = parts.get("original1") if form is WeightForm.WEIGHT_NORM else parts.get("original")
        kernels = kernels or max(parts.values(), key=lambda part: math.prod(part.shape))
        weight = StoredWeight(name, kernels.shape, kernels.dtype, tuple(parts[key].name for key in order), form)
        found.update({part.name: weight for part in parts.values()})
    return found


def count_parameters(entries: Sequence[TensorEntry]) -> int:
    """Elements of the entries that are model parameters, told by type and name."""
    names = {entry.name for entry in entries}
    return sum(math.prod(entry.shape) for entry in entries if _is_parameter(entry, names))


def _is_parameter(entry: TensorEntry, names: set[str]) -> bool:
    if entry.dtype not in FLOATING or _BUFFER.search(entry.name):
        return False
    # spectral_norm's v is a buffer, weight_norm's a parameter.
    base = entry.name[:-2]
    is_spectral_v = entry.name.endswith("_v") and not names.isdisjoint((f"{base}_orig", f"{base}_bar"))
    return not is_spectral_v
