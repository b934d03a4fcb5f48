"""``python -m distributed.store runs|stats|verify|compact|gc uri=…``, which is ``distributed.upkeep``."""

import pkgutil

if __name__ == "__main__":
    pkgutil.resolve_name("distributed.upkeep.command:main")()  # by name: the store knows nothing of who tends it
