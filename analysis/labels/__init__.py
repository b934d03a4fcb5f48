"""What is known about the models of a store, and where each piece was read; labels of the user's, into the store.

python -m analysis.labels store.uri=data/filters template=labels.csv     # what is known, to be edited
python -m analysis.labels store.uri=data/filters labels=labels.csv save=true

Reads and writes the table ``models`` alone. From Python::

    from analysis.labels import LabelsSettings, measure_labels
    from distributed.store.settings import StoreSettings

    result = measure_labels(LabelsSettings(StoreSettings("data/filters")))
    result.fields.to_pandas()
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    LabelsSettings="analysis.labels.settings:LabelsSettings",
    measure_labels="analysis.labels.measure:measure",
)
