"""Extract every learned 3x3 filter of a source's models into a store.

python launch/extract.py source=local source.path=checkpoints store.uri=data/filters
ray job submit --working-dir . -- python launch/extract.py cluster=ray store=s3 store.uri=s3://bucket/filters
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

# A submitted job runs this file from the uploaded working directory, where the project is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from distributed.entry import run_command

if TYPE_CHECKING:
    from distributed.settings import ExtractionRun


def main() -> None:
    """Entry point; ``--help`` prints every setting."""
    run_command("extract", _settings, _extract)


def _settings() -> type[ExtractionRun]:
    from distributed.settings import ExtractionRun

    return ExtractionRun


def _extract(run: ExtractionRun) -> int:
    from distributed.driver import extract  # and with it Ray: wrong settings are told without

    return extract(run)


if __name__ == "__main__":
    main()
