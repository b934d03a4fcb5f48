"""What names and shapes tell where there is no graph. Each rule needs evidence; without it nothing is claimed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from distributed.formats.base import TensorEntry

#: Last segments under which modules keep convolution weights (torch, ported Caffe and TensorFlow names, MAML lists).
_WEIGHT_LEAF = re.compile(r"^(weight|w|W|.*_weight|weight_?\d+|conv\d*_w)$")
_WEIGHT_LIST = re.compile(r"^(weights?|vars|params?|parameters)$")

#: Words of the leaf or of its module that mark a fixed kernel or a table.
_FIXED_WORDS = frozenset(
    {
        *(
            "blur",
            "blurpool",
            "filt",
            "sobel",
            "scharr",
            "prewitt",
            "laplacian",
            "laplace",
            "gaussian",
            "gauss",
            "haar",
        ),
        *("dwt", "idwt", "wavelet", "dct", "srm", "gabor", "lowpass", "antialias", "antialiasing", "fir", "upfirdn"),
    }
)
_TABLE_LEAF = re.compile(r"pos_?(embed|emb|enc)|position|rel_pos|relative|token|anchor|grid|mask", re.IGNORECASE)
_NORM_MODULE = re.compile(r"(^|_)(norm|bn|ln|gn|layernorm|batchnorm|groupnorm)\d*(_|$)|norm\d*d?$", re.IGNORECASE)

_KERNEL_AT_END = re.compile(r"(?:weight|kernel)(:0)?$")

#: Names that only transposed convolutions have; ``upconv`` is as often an upsampling followed by a convolution.
_TRANSPOSED_NAME = re.compile(
    r"(^|[._\d])(de_?conv|conv_?transposed?|conv_?tr|conv_?t|tconv|transposed?_?conv)(olution|2d|_?layers?)?([._\d]|$)",
    re.IGNORECASE,
)


def segments_of(name: str) -> list[str]:
    """Parts of a name, the last one without TensorFlow's output number (``conv1/kernel:0``)."""
    return name.removesuffix(":0").replace("/", ".").split(".")


def is_weight_name(name: str) -> bool:
    """Whether the last segment is one that modules keep their weight under."""
    segments = name.split(".")
    leaf = segments[-1]
    if leaf.isdigit():
        return len(segments) > 1 and _WEIGHT_LIST.match(segments[-2]) is not None
    return _WEIGHT_LEAF.match(leaf) is not None and _TABLE_LEAF.search(leaf) is None


def is_fixed_name(name: str) -> bool:
    """Whether leaf or module is called after a fixed kernel (``blur.kernel``, ``sobel_x.weight``, ``filt``).

    Learned ones are called so, too: the values have to agree (``distributed.convolutions.fixed``).
    """
    segments = [segment.lower() for segment in segments_of(name)[-2:]]
    words = {word for segment in segments for word in re.split(r"[_\d]+", segment)}
    # A module may well be called kernel_prediction; a tensor called kernel is a buffer in most torch code.
    return not words.isdisjoint(_FIXED_WORDS) or "kernel" in re.split(r"[_\d]+", segments[-1])


def is_norm_scale(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a (1, C, 1, 1) weight belongs to a normalisation layer by its module's name."""
    parent = name.split(".")[-2] if "." in name else ""
    return shape[0] == 1 and shape[2:] == (1, 1) and _NORM_MODULE.search(parent) is not None


def transposed_by_evidence(name: str, shape: tuple[int, ...], entries: Mapping[str, TensorEntry]) -> bool | None:
    """Whether the stored weight of ``shape`` is (in, out/groups, kh, kw) of a transposed convolution.

    The bias has one value per output channel: its length decides where shape[0] ≠ shape[1]. Else the name may.
    """
    # Keras and Flax have the bias beside a kernel, TensorFlow numbers both.
    bias = entries.get(_KERNEL_AT_END.sub(r"bias\1", name)) if _KERNEL_AT_END.search(name) else None
    if bias is not None and len(bias.shape) == 1 and shape[0] != shape[1]:
        if bias.shape[0] == shape[0]:
            return False
        if bias.shape[0] == shape[1]:
            return True
    return is_transposed_name(name) or None


def is_transposed_name(name: str) -> bool:
    """Whether the name is one that only transposed convolutions have."""
    return _TRANSPOSED_NAME.search(name) is not None
