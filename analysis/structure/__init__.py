"""The structure of the filters: eigenfilters and explained variance of the store and of groups, and their agreement.

python -m analysis.structure store.uri=data/filters 'axes=[task,visual_category]' out=structure

From the moments in the table ``layers`` alone: no filter is read, no Ray is started. From Python::

    from analysis.structure import StructureSettings, components_table, measure_structure
    from distributed.store.settings import StoreSettings

    result = measure_structure(StructureSettings(StoreSettings("data/filters"), axes=("task",)))
    components_table(result.axes[0], result.whole).to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    StructureSettings="analysis.structure.settings:StructureSettings",
    measure_structure="analysis.structure.measure:measure",
    components_table="analysis.structure.tables:components_table",
)
