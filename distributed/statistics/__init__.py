"""Quality columns and mergeable moments of one layer (DESIGN §3, §4): plain functions on arrays, no Ray."""

from distributed.statistics.layer import layer_statistics
from distributed.statistics.moments import pack_lower, unpack_lower
from distributed.statistics.passes import LayerStatistics
from distributed.statistics.quality import orthogonality, variance_entropy

__all__ = [
    "LayerStatistics",
    "layer_statistics",
    "orthogonality",
    "pack_lower",
    "unpack_lower",
    "variance_entropy",
]
