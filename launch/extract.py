"""Extract every learned 3x3 filter of a source's models into a store.

python launch/extract.py source=local source.path=checkpoints store.uri=data/filters
ray job submit --working-dir . -- python launch/extract.py cluster=ray store=s3 store.uri=s3://bucket/filters
"""

from __future__ import annotations

import sys
from pathlib import Path

# A submitted job runs this file from the uploaded working directory, where the project is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    """Entry point; see ``conf/extract.yaml`` for every setting."""
    from distributed.driver import extract
    from distributed.entry import command
    from distributed.settings import ExtractionRun

    command("extract", ExtractionRun, extract)


if __name__ == "__main__":
    main()
