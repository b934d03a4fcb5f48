"""Which factor explains how far models are from each other: task, architecture, training data, …

python -m analysis.partition store.uri=data/filters 'factors=[architecture,training_dataset,task]' strata=lineage

First how far the factors can be told apart at all (Cramér's V); then the share of each in the distances between models
(PERMANOVA), of all layers, by component and by depth; then whether groups differ in spread rather than in place
(PERMDISP). No filter is read if the store keeps its sketch. From Python::

    from analysis.partition import PartitionSettings, measure_partition
    from distributed.store.settings import StoreSettings

    result = measure_partition(PartitionSettings(StoreSettings("data/filters"), factors=("task", "architecture")))
    result.confounding.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    PartitionSettings="analysis.partition.settings:PartitionSettings",
    measure_partition="analysis.partition.measure:measure",
)
