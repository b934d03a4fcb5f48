"""The files of ``analysis.replicate``: a folder a part, as its command writes it; the table of numbers; the page."""

from __future__ import annotations

from pathlib import Path

from analysis.output.files import Outputs
from analysis.output.names import writable_folder
from analysis.replicate.measure import COMMANDS, ReplicateResult
from analysis.replicate.numbers import table_of
from analysis.replicate.page import page_of
from analysis.replicate.pictures import drawings

PAGE_FILE = "index.html"


def write(result: ReplicateResult, folder: Path) -> list[Path]:
    """Write the page, the table and a folder a part into ``folder``; returns the paths, the page's own first.

    Raises:
        UserError: the disk refuses.
    """
    of_parts = {
        each.part.name: COMMANDS[each.part.command].write(each.result, writable_folder(str(folder / each.part.name)))
        for each in result.parts
    }
    with Outputs(folder, "replicate") as outputs:
        about = {"paper": result.settings.paper, "store": result.uri, "notes": "\n".join(result.notes)}
        if result.verdicts:
            outputs.table("published", table_of(result.verdicts), about)
        outputs.pictures(drawings(result))
        beside = [path for path in outputs.written if path.suffix == ".png"]
        outputs.text(PAGE_FILE, page_of(result, of_parts, beside, folder))
    return [*outputs.written, *(path for paths in of_parts.values() for path in paths)]
