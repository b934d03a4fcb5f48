"""Filters in a store → distribution shifts, structure, quality → tables and pictures."""

import sys
from pathlib import Path

# ``python -m`` puts the current folder first on the path. Packages in it that happen to be called as ours are must not
# stand for them, so ours are imported here, before anything asks for them by name.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import conf  # noqa: F401
    import distributed  # noqa: F401
    import samples  # noqa: F401
finally:
    del sys.path[0]
