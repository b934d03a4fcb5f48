"""Which calls of a pickle no data needs. Nothing is ever called; a file that asks for these is not trusted either.

Of Python's own library only what holds data is expected beside weights; what starts programs, opens files, imports or
evaluates is known by not being listed here. Calls into other packages are set aside, inert, like every other call.
"""

from __future__ import annotations

import builtins
import sys
from functools import lru_cache

from distributed.formats.pickle_values import Global


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


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
        *("contextlib", "enum", "fractions", "functools", "inspect", "ipaddress", "itertools", "logging", "math"),
        *("numbers", "operator"),
        *("optparse", "pathlib", "random", "_random", "re", "statistics", "string", "time", "types", "typing", "uuid"),
        *("weakref", "zoneinfo", "_weakrefset", "_collections", "_collections_abc", "abc", "_operator", "_struct"),
    }
)

#: Of other modules these.
_DATA_NAMES = frozenset(
    {
        *(
            "platform.uname_result",
            "urllib.parse.ParseResult",
            "_codecs.encode",
            "io.BytesIO",
            "io.StringIO",
            "_io.BytesIO",
            "_io.StringIO",
        ),
        *(
            f"builtins.{name}"
            for name in (
                *("set", "frozenset", "dict", "list", "tuple", "slice", "range", "complex", "bytearray", "bytes"),
                *("object", "int", "float", "str", "bool", "type", "getattr", "iter", "reversed", "enumerate", "zip"),
                *("map", "filter", "property", "staticmethod", "classmethod", "super"),
                *(name for name, value in vars(builtins).items() if _is_exception(value)),
            )
        ),
    }
)


@lru_cache(maxsize=4096)
def does_more_than_hold_data(function: Global) -> bool:
    """Whether calling ``function`` is nothing that saved weights, or the settings and records beside them, need.

    Also where it is reached through another module (``torch.serialization`` with the name ``os.system``).
    """
    if function.full_name in _DATA_NAMES:
        return False
    reached = (function.module.partition(".")[0], *function.name.split(".")[:-1])
    return any(part in sys.stdlib_module_names and part not in _DATA_MODULES for part in reached)


def may_give_anything(maker: str) -> bool:
    """Whether what a call of ``maker`` gives may be any function, so that calling that is not for data either.

    Other packages also make classes in calls (cloudpickle, dill): an object of such a class is an object.
    """
    module, _, name = maker.rpartition(".")
    reaches = name.strip("_").replace("_", "") in ("getattr", "importmodule", "subimport", "dynamicsubimport")
    return reaches or module.partition(".")[0] in sys.stdlib_module_names
