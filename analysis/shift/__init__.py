"""How the distributions of filters shift between groups of models and layers.

python -m analysis.shift store.uri=data/filters 'axes=[task,visual_category,depth]' out=shift

The basis is that of all filters of the store, from the moments in ``layers``; one scan for histograms per layer, and
one of few layers for their range before it, serve every axis, condition and later run, because what they find is kept
in the store as a sketch. From Python::

    from analysis.shift import ShiftSettings, measure_shift
    from distributed.store.settings import StoreSettings

    result = measure_shift(ShiftSettings(StoreSettings("data/filters"), axes=("task",)))
    result.shifts[0].matrix().to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    ShiftSettings="analysis.shift.settings:ShiftSettings",
    measure_shift="analysis.shift.measure:measure",
)
