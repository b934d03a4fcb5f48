"""Which models of a store are one model: the same weights, folded copies, shared layers, descent.

python -m analysis.lineage store.uri=data/filters

Reads the tables ``models`` and ``layers``, and the filters of models that descend from one another, once. From Python::

    from analysis.lineage import LineageSettings, measure_lineage
    from distributed.store.settings import StoreSettings

    result = measure_lineage(LineageSettings(StoreSettings("data/filters")))
    result.ties.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    LineageSettings="analysis.lineage.settings:LineageSettings",
    measure_lineage="analysis.lineage.measure:measure",
)
