"""What one thing changes, all else equal: models in pairs that differ by it, and nothing else that is known.

python -m analysis.pairs store.uri=data/filters 'match=[architecture,training_dataset]' contrast=recipe values=[a1,tv]
python -m analysis.pairs store.uri=data/filters pairs=pairs.csv out=pairs

From Python::

    from analysis.pairs import PairsSettings, measure_pairs
    from distributed.store.settings import StoreSettings

    result = measure_pairs(PairsSettings(StoreSettings("data/filters"), pairs="pairs.csv"))
    result.bins.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    PairsSettings="analysis.pairs.settings:PairsSettings",
    measure_pairs="analysis.pairs.measure:measure",
)
