"""How coefficients are distributed: ridges of the nine components by group, two-dimensional densities of pairs.

python -m analysis.coefficients store.uri=data/filters 'axes=[task]' 'pairs=[[1,2]]' layers="name = 'resnet20'"

Ridges come from the store's sketch, without a scan. Densities of pairs of components take one pass over the filters of
the models asked for, by group of each axis or, with ``layers``, by layer. From Python::

    from analysis.coefficients import CoefficientsSettings, measure_coefficients
    from distributed.store.settings import StoreSettings

    result = measure_coefficients(CoefficientsSettings(StoreSettings("data/filters"), axes=("task",)))
    result.ridges[0].table().to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    CoefficientsSettings="analysis.coefficients.settings:CoefficientsSettings",
    measure_coefficients="analysis.coefficients.measure:measure",
)
