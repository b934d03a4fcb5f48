"""A store, or what of it is small, in the formats of others: HDF5 as published, a Hub data set, CSV, Arrow, a store.

python -m analysis.export store.uri=data/filters format=cnn_filter_db out=dataset.h5
python -m analysis.export store.uri=data/filters level=sketch out=sketch_store

A command like the others, but for its result, which may be larger than memory: ``measure`` says what is exported,
``files`` writes it while it is read; a module a format knows how.
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    ExportSettings="analysis.export.settings:ExportSettings",
    export="analysis.export.files:export",
)
