"""The quality of layers: sparsity, variance entropy, orthogonality, norms; by layer and by group; degenerate layers.

python -m analysis.quality store.uri=data/filters 'axes=[task,visual_category]' weight=models out=quality

From the table ``layers`` alone: extraction has measured every layer. No filter is read. From Python::

    from analysis.quality import QualitySettings, measure_quality
    from distributed.store.settings import StoreSettings

    result = measure_quality(QualitySettings(StoreSettings("data/filters"), axes=("task",)))
    result.layers.to_pandas()
    result.axes[0].summary.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    QualitySettings="analysis.quality.settings:QualitySettings",
    measure_quality="analysis.quality.measure:measure",
)
