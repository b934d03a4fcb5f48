"""The built-in sample models: small CNNs of this project's own, truly trained, stored the way the Hub stores models.

``SAMPLES_ROOT/<name>/`` holds ``config.json``, ``model.safetensors`` (or shards with their index) and ``README.md``
with YAML front matter. ``samples.architectures`` builds a model from its ``config.json``; ``python -m samples.train``
trains them all again from nothing. Importing this package needs neither torch nor the data's dependencies.
"""

from __future__ import annotations

from pathlib import Path

#: The folder of the sample models, found through the package, so that it exists in a checkout and in a wheel alike.
SAMPLES_ROOT: Path = Path(__file__).resolve().parent / "models"
