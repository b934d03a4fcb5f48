"""The three tables of the store, and the four side tables, in one place: names, types, units.

Every stage passes on the records of this file; ``distributed.store`` writes them, ``analysis`` reads them.
The layout is DESIGN §3: one Parquet file per model in each of ``filters/``, ``layers/``, ``models/``.
"""

from __future__ import annotations

import pyarrow as pa

#: Row-major 3x3 kernel: ``w0 w1 w2 / w3 w4 w5 / w6 w7 w8``.
WEIGHT_COLUMNS: tuple[str, ...] = tuple(f"w{i}" for i in range(9))

#: Bits of a layer id below those of the model: ``layer_id >> MODEL_BITS_SHIFT`` is the same for a model's layers.
MODEL_BITS_SHIFT = 16

#: Length of the lower triangle of a 9 x 9 matrix, row by row: (0,0), (1,0), (1,1), (2,0) …
GRAM_LENGTH = 45

#: Unit directions in the space of kernels, row-major: the constant kernel and the checkerboard. Near them lie the
#: largest coefficients there can be: |c · f| <= Σ|c_i| for a scaled filter f, and that is near 3 only for unit vectors
#: c whose nine entries are nearly equal in magnitude.
EXTREME_DIRECTIONS: tuple[tuple[float, ...], ...] = (
    (1 / 3,) * 9,
    tuple((-1) ** i / 3 for i in range(9)),
)

#: Filters in ``extreme_filters``: the farthest along and against each of ``EXTREME_DIRECTIONS``.
EXTREME_FILTERS = 2 * len(EXTREME_DIRECTIONS)

#: Buckets of ``weight_sketch``.
SKETCH_LENGTH = 256

#: One row per 3x3 filter, raw weights; rows of one layer are contiguous, layers in ``layer_index`` order.
FILTERS_SCHEMA = pa.schema(
    [pa.field("layer_id", pa.int64(), nullable=False)]
    + [pa.field(column, pa.float32(), nullable=False) for column in WEIGHT_COLUMNS]
)

#: One row per learned 2-D convolution with 3x3 kernels.
LAYERS_SCHEMA = pa.schema(
    [
        pa.field("layer_id", pa.int64(), nullable=False),
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("layer_index", pa.int32(), nullable=False),  # 0 … among the model's 3x3 layers, in depth order
        pa.field("name", pa.string(), nullable=False),  # parameter name
        pa.field("conv_depth", pa.int32(), nullable=False),
        pa.field("conv_depth_norm", pa.float64(), nullable=False),  # 0 … 1
        pa.field("depth_method", pa.string(), nullable=False),  # traced | onnx | order | published
        # Null where a published corpus has all convolutions of a depth together.
        pa.field("out_channels", pa.int32()),
        pa.field("in_channels", pa.int32()),  # per group
        pa.field("groups", pa.int32()),
        pa.field("is_depthwise", pa.bool_()),  # null where it cannot be told (in_channels = 1, groups unknown)
        pa.field("is_transposed", pa.bool_()),  # null where it cannot be told
        pa.field("dtype", pa.string(), nullable=False),  # as stored in the checkpoint
        pa.field("num_filters", pa.int64(), nullable=False),
        # Quality, DESIGN §4. "clean" = without the sparse filters.
        pa.field("sparsity", pa.float64(), nullable=False),
        pa.field("variance_entropy", pa.float64(), nullable=False),
        pa.field("variance_entropy_normalized", pa.float64()),  # entropy / T(n); null where T(n) <= 0
        pa.field("variance_entropy_clean", pa.float64()),  # null when every filter is sparse
        pa.field("orthogonality", pa.float64()),  # null for one output channel
        pa.field("norm_mean", pa.float64(), nullable=False),  # of the filters' L2 norms
        pa.field("norm_std", pa.float64(), nullable=False),  # population
        pa.field("max_abs", pa.float64(), nullable=False),
        # Mergeable moments of the scaled filters f / max|f|.
        pa.field("scaled_sum", pa.list_(pa.float64(), 9), nullable=False),
        pa.field("scaled_gram", pa.list_(pa.float64(), GRAM_LENGTH), nullable=False),
        # Raw weights of the filters whose scaled form lies farthest along the first of EXTREME_DIRECTIONS, against it,
        # along the second, against it. They bound the coefficients of all filters of the layer, on any basis
        # (analysis.arrays.bounds). Null in stores of older versions.
        pa.field("extreme_filters", pa.list_(pa.float32(), 9 * EXTREME_FILTERS)),
        # The same moments, and the number, of the filters that are not sparse (DESIGN §4). Null in stores of older
        # versions.
        pa.field("clean_sum", pa.list_(pa.float64(), 9)),
        pa.field("clean_gram", pa.list_(pa.float64(), GRAM_LENGTH)),
        pa.field("num_clean", pa.int64()),
        # What tells the weights again (distributed.statistics.fingerprint): SHA-256 in hex, and a count sketch whose
        # products estimate theirs. Null in stores of older versions.
        pa.field("digest", pa.string()),
        pa.field("weight_sketch", pa.list_(pa.float32(), SKETCH_LENGTH)),
    ]
)

#: Columns that files of older versions lack; they are read as null.
LATER_COLUMNS = frozenset(
    {
        *("extreme_filters", "node", "run_id", "clean_sum", "clean_gram", "num_clean"),
        *("recipe", "resolution", "attributes", "digest", "weight_sketch"),
    }
)

#: One row per extracted model. Maps are lists of (key, value) on disk (``distributed.store.conforming``).
MODELS_SCHEMA = pa.schema(
    [
        pa.field("model_id", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),  # folder or Hub repository
        pa.field("revision", pa.string()),
        pa.field("file", pa.string(), nullable=False),  # entry file within uri
        pa.field("format", pa.string(), nullable=False),  # safetensors | torch | onnx | hdf5
        pa.field("sha256", pa.string()),  # of the weights, as the Hub lists or the whole files have it; else null
        pa.field("reference_key", pa.string(), nullable=False),
        pa.field("library", pa.string()),
        pa.field("architecture", pa.string()),
        pa.field("family", pa.string()),
        pa.field("task", pa.string()),
        pa.field("visual_category", pa.string()),
        pa.field("training_dataset", pa.string()),
        pa.field("pretraining_dataset", pa.string()),
        pa.field("license", pa.string()),
        pa.field("paper", pa.string()),
        pa.field("origins", pa.map_(pa.string(), pa.string()), nullable=False),  # column → where its value was read
        # These are null where a published corpus does not say.
        pa.field("num_parameters", pa.int64()),
        pa.field("total_filters", pa.int64()),  # 2-D kernels of every size above 1x1
        pa.field("num_filters", pa.int64(), nullable=False),  # 3x3
        pa.field("share_3x3", pa.float64()),  # num_filters / total_filters
        pa.field("kernel_shapes", pa.map_(pa.string(), pa.int64()), nullable=False),  # "3x3" → 2-D kernels
        pa.field("op_counts", pa.map_(pa.string(), pa.int64())),  # null if no graph
        pa.field("num_conv_layers", pa.int32()),  # 2-D convolutions of every size
        pa.field("num_layers_3x3", pa.int32(), nullable=False),  # rows in layers
        pa.field("notes", pa.list_(pa.string()), nullable=False),  # what was left aside, what fell back
        pa.field("bytes_read", pa.int64(), nullable=False),
        pa.field("bytes_total", pa.int64(), nullable=False),
        pa.field("extracted_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("tool_version", pa.string(), nullable=False),
        pa.field("variant", pa.string()),  # null: the default; ema, transposed, folded: what was asked for beside it
        # Null in stores of older versions.
        pa.field("recipe", pa.string()),  # how it was trained, as timm's tags name it: a1, augreg, fcmae
        pa.field("resolution", pa.int32()),  # side in pixels of the pictures it was trained on last
        pa.field("attributes", pa.map_(pa.string(), pa.string())),  # what manifests and imports say besides
    ]
)

#: One row per listed model that holds nothing to extract (``skips/``) or could not be extracted (``failures/``).
REJECTS_SCHEMA = pa.schema(
    [
        pa.field("reference_key", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("revision", pa.string()),
        pa.field("file", pa.string()),
        pa.field("reason", pa.string(), nullable=False),  # a SkipReason, or the class name of the error
        pa.field("message", pa.string(), nullable=False),
        pa.field("tensor", pa.string()),
        pa.field("expected", pa.string()),
        pa.field("found", pa.string()),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("attempts", pa.int32(), nullable=False),
        pa.field("recorded_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("tool_version", pa.string(), nullable=False),
        pa.field("node", pa.string()),  # of the last try; null where none was made, and in stores of older versions
        pa.field("run_id", pa.string()),  # of the run that recorded it; likewise
    ]
)

#: One row per run (``runs/``): opened when something is listed, kept up to date, closed at its end. Maps are lists of
#: (key, value) on disk.
RUNS_SCHEMA = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("started_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("updated_at", pa.timestamp("ms", tz="UTC"), nullable=False),  # a living run's is never minutes old
        pa.field("ended_at", pa.timestamp("ms", tz="UTC")),  # null while it goes on, and for ever if it was killed
        pa.field("ending", pa.string()),  # complete, or the line that it ended early with
        pa.field("host", pa.string(), nullable=False),  # of the driver
        pa.field("settings", pa.map_(pa.string(), pa.string()), nullable=False),  # extract.retry → none; no secrets
        pa.field("versions", pa.map_(pa.string(), pa.string()), nullable=False),  # of Python and packages
        pa.field("git_commit", pa.string()),  # null where the code is no checkout
        pa.field("listed", pa.int64(), nullable=False),
        pa.field("outcomes", pa.map_(pa.string(), pa.int64()), nullable=False),  # extracted → models
        pa.field("filters", pa.int64(), nullable=False),
        pa.field("bytes_read", pa.int64(), nullable=False),
        pa.field("retries", pa.int64(), nullable=False),  # tries beyond the first
        pa.field("nodes", pa.list_(pa.string()), nullable=False),  # that models were read on
    ]
)

#: One row per repository of the Hub at a commit, in files of many (``repositories/``): what its API said, so that a
#: later listing need not ask again. Anyone may remove it.
REPOSITORIES_SCHEMA = pa.schema(
    [
        pa.field("repository", pa.string(), nullable=False),
        pa.field("revision", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),  # ``distributed.hub.repository.Repository.to_json``
    ]
)
