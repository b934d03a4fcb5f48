"""Filters in the store → numbers → pictures, in the order of the data.

``settings`` → ``selection`` (which layers, which groups) → ``scanning`` (filters read once, kept as a sketch) →
``measures`` (``arrays`` and tables in, numbers out) → ``pictures`` and ``output`` (files, terminal). Each command is a
folder that ties these together (``command``); ``api`` is the same from Python.
"""

import sys
from pathlib import Path
from types import ModuleType

# ``python -m`` puts the current folder first on the path. Packages in it that happen to be called as ours are must not
# stand for them, so ours are imported here, before anything asks for them by name.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import conf  # noqa: F401
    import distributed  # noqa: F401
    import samples  # noqa: F401
finally:
    del sys.path[0]

if sys.argv[:1] == ["-m"]:  # python -m analysis.…, which has yet to find its module
    from distributed.interrupt import say_interrupts

    say_interrupts()

from distributed.exports import lazily

#: Modules that the documentation of 0.1 named → where what it took from them is now.
_MOVED = {
    "structure_results": {"components_table": "analysis.structure.tables:components_table"},
    "coefficients_settings": {"CoefficientSettings": "analysis.coefficients.settings:CoefficientsSettings"},
    "compare_settings": {"CompareSettings": "analysis.compare.settings:CompareSettings"},
    "reporting.settings": {"ReportSettings": "analysis.report.settings:ReportSettings"},
}
for _name, _homes in _MOVED.items():
    _module = ModuleType(f"{__name__}.{_name}", "Moved: see ``analysis``.")
    vars(_module)["__getattr__"] = lazily(_module.__name__, **_homes)
    sys.modules[_module.__name__] = _module
