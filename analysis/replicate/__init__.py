"""Each paper's figures and tables from a store, with its preset, and its numbers published and here.

python -m analysis.replicate paper=2203.15331 store.uri=data/filters out=replicate

Every figure is another command's own: what it measures and writes is what that command does with the same settings,
which the page names. From Python::

    from analysis.replicate import ReplicateSettings, measure_replicate
    from distributed.store.settings import StoreSettings

    result = measure_replicate(ReplicateSettings(StoreSettings("data/filters"), paper="2203.15331"))
    [(row.key, row.published, row.here, row.verdict) for row in result.verdicts]
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    ReplicateSettings="analysis.replicate.settings:ReplicateSettings",
    measure_replicate="analysis.replicate.measure:measure",
)
