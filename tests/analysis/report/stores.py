"""Stores for the tests of the report: small, synthetic, with names that try to be markup."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.synthetic_store import write_synthetic_store
from distributed.store import Store
from distributed.store.rows import Reject

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script><!--"
LINK = '<b>bold</b> & <a href="javascript:alert(3)">x</a> &lt; $x$'


def hostile_store(folder: Path) -> Store:
    """24 models of four tasks; one task, model names, a family and a skip's message are markup."""
    tasks = [LINK, "Segmentation", "Classification", "Denoising"]
    columns = {index: {"task": tasks[index % 4], "training_dataset": None} for index in range(24)}
    columns[0] |= {"name": IMAGE, "family": SCRIPT}
    columns[1] |= {"name": SCRIPT, "uri": "javascript:alert(4)"}
    columns[2] |= {"name": "line\nbreak \u2028 \u202e right to left"}
    columns[23] |= {"task": "Only One"}
    store = write_synthetic_store(folder, 24, layers_per_model=5, columns=columns)
    store.write_skip(
        Reject(
            reference_key="0" * 16,
            name=IMAGE,
            source="hub",
            uri="hub/x",
            revision=None,
            file="a.bin",
            reason="unsafe_pickle",
            message=f"needs {SCRIPT}",
            tensor=None,
            expected=None,
            found=None,
            retryable=False,
            attempts=1,
            recorded_at=datetime(2026, 11, 1, tzinfo=UTC),
            tool_version="test",
        )
    )
    return store
