"""One HTML page about a store that people want to look at, and every figure of it as PNG and PDF.

python -m analysis.report store.uri=data/filters out=report

``report/index.html`` needs no network and opens from disk. No filter is read if the store keeps its sketch. From
Python::

    from analysis.report import ReportSettings, measure_report, write_report
    from distributed.store.settings import StoreSettings

    result = measure_report(ReportSettings(StoreSettings("data/filters"), axes=("task",)))
    write_report(result, Path("report"))
"""

from distributed.exports import lazily

__getattr__ = lazily(
    __name__,
    ReportSettings="analysis.report.settings:ReportSettings",
    measure_report="analysis.report.measure:measure",
    write_report="analysis.report.files:write",
)
