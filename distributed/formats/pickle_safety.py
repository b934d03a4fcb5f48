"""Which calls of a pickle no data needs. Nothing is ever called; a file that asks for these is not trusted either.

Of Python's own library only what holds data is expected beside weights; what starts programs, opens files, imports or
evaluates is known by not being listed here. Calls into other packages are set aside, inert, like every other call.
"""

from __future__ import annotations

import sys

from distributed.formats.pickle_values import Global

#: Modules of the standard library whose classes hold data.
_DATA_MODULES = frozenset(
    {
        *(
            "argparse",
            "array",
            "calendar",
            "collections",
            "configparser",
            "copyreg",
            "dataclasses",
            "datetime",
            "decimal",
        ),
        *("enum", "fractions", "functools", "ipaddress", "itertools", "logging", "math", "numbers", "operator"),
        *("optparse", "pathlib", "random", "_random", "re", "statistics", "string", "time", "types", "typing", "uuid"),
        *("weakref", "zoneinfo", "_weakrefset", "_collections", "_collections_abc", "abc", "_operator", "_struct"),
    }
)

#: Of other modules these.
_DATA_NAMES = frozenset(
    {
        *("_codecs.encode", "io.BytesIO", "io.StringIO", "_io.BytesIO", "_io.StringIO"),
        *(
            f"builtins.{name}"
            for name in (
                *("set", "frozenset", "dict", "list", "tuple", "slice", "range", "complex", "bytearray", "bytes"),
                *("object", "int", "float", "str", "bool", "type", "getattr", "iter", "reversed", "enumerate", "zip"),
                *("map", "filter", "property", "staticmethod", "classmethod", "super", "Exception", "ValueError"),
            )
        ),
    }
)


def does_more_than_hold_data(function: Global) -> bool:
    """Whether calling ``function`` is nothing that saved weights, or the settings and records beside them, need.

    Also where it is reached through another module (``torch.serialization`` with the name ``os.system``).
    """
    if function.full_name in _DATA_NAMES:
        return False
    reached = (function.module.partition(".")[0], *function.name.split(".")[:-1])
    return any(part in sys.stdlib_module_names and part not in _DATA_MODULES for part in reached)
