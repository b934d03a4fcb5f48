"""The index of a model in shards: which tensor is in which file, and which files can be left unread."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from distributed.formats.problems import unreadable, unsupported
from distributed.formats.remembered import Remembered
from distributed.formats.safetensors_header import MAX_HEADER_BYTES

#: Modules that are tables, products and normalisations in every network that has them: no kernels of 3x3.
_NO_CONVOLUTIONS = re.compile(
    r"([qkvo]|qkv|in|out|gate|up|down|gate_up)_proj|qkv|query|key|value|dense|fc[12]|c_(attn|fc|proj)|lm_head|w[tp]e"
    r"|(word|position|token_type)_embeddings|embed_(tokens|positions)|(.*_|.*layer|rms)?norm\d*|ln_\w+|rotary_emb"
)
_NO_WEIGHTS = re.compile(r"bias|running_(mean|var)|num_batches_tracked|inv_freq|g_idx|q?zeros|scales?")


def read_index(source: Remembered) -> dict[str, str]:
    """Tensor → file of a ``*.index.json`` of Hugging Face: ``{"metadata": …, "weight_map": {tensor: file}}``.

    Raises:
        UnextractableError: (unreadable) it is no JSON, or too long; (unsupported_format) it is no index.
        RetryableError: reading failed.
    """
    if source.size > MAX_HEADER_BYTES:
        raise unreadable(
            source.name, "index too long", expected=f"at most {MAX_HEADER_BYTES} bytes", found=f"{source.size} bytes"
        )
    try:
        document = json.loads(bytes(source.read_ranges([(0, source.size)])[0]))
    except (ValueError, RecursionError) as error:
        raise unreadable(source.name, "not valid JSON", found=str(error)[:200] or "too deep nesting") from None
    names = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(shard, str) for shard in names.values()):
        raise unsupported(
            source.name, "JSON, but not a shard index", expected="weight_map: tensor → file", found="a JSON file"
        )
    return names


def head_bytes_of(names: Sequence[str]) -> int:
    """Bytes in which a file describes tensors of these names, amply: a header of safetensors, or a pickle."""
    return 2048 + sum(len(name) + 256 for name in names)


def may_be_convolution(name: str) -> bool:
    """Whether a tensor may be the weight of a 3x3 convolution, by its name: sure only where it says no."""
    _, module, leaf = f"..{name}".rsplit(".", 2)
    return _NO_WEIGHTS.fullmatch(leaf) is None and _NO_CONVOLUTIONS.fullmatch(module) is None


def may_be_3x3(shape: Sequence[int]) -> bool:
    """Whether a tensor may be the weight of a 3x3 convolution, in any order of its axes."""
    return len(shape) == 4 and list(shape).count(3) >= 2
