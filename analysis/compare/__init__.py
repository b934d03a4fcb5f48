"""Where does my model sit? One model against the models of a store, from the store's sketch and one checkpoint.

python -m analysis.compare store.uri=data/filters model=resnet18.safetensors out=compare

Its drift to every group of each axis with intervals, the models nearest to it, the quality of its layers as percentiles
of the store's, its degenerate layers. No Ray is started where the store's sketch is there already. From Python::

    from analysis.compare import CompareSettings, compare_model
    from distributed.store.settings import StoreSettings

    result = compare_model(CompareSettings(StoreSettings("data/filters"), model="resnet18.safetensors"))
    result.nearest.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    CompareSettings="analysis.compare.settings:CompareSettings",
    compare_model="analysis.compare.measure:measure",
)
