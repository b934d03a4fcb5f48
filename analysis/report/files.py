"""The files of ``analysis.report``: the page, and its figures beside it."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from analysis.output.files import Outputs
from analysis.output.names import writable_folder
from analysis.output.svg import Embedded, dots_as_picture, embedded
from analysis.pictures.canvas import Drawing
from analysis.pictures.style import default_style
from analysis.report.measure import ReportResult
from analysis.report.page import page_of
from analysis.report.pictures import drawings, matrices

PAGE_FILE = "index.html"
FOLDER = "figures"

#: Says at length which font tables it keeps.
logging.getLogger("fontTools").setLevel(logging.WARNING)

#: More dots than this are one picture inside the PDF: as vectors they would take minutes to open.
_MOST_VECTOR_DOTS = 5000


def write(result: ReportResult, folder: Path) -> list[Path]:
    """Write the page, and the figures if they are asked for, into ``folder``; returns the paths, the page first.

    Raises:
        UserError: the disk refuses.
    """
    shown, files, figures = dict[str, Embedded](), dict[str, list[str]](), folder / FOLDER
    if result.settings.figures:
        writable_folder(str(figures))
    with ExitStack() as stack:
        stack.enter_context(default_style())
        outputs = stack.enter_context(Outputs(folder, "report"))
        # Also where none are asked for: those of an earlier run go.
        beside = stack.enter_context(Outputs(figures, "report")) if figures.is_dir() else None
        for drawing in drawings(result):
            figure = drawing.draw()
            if beside and result.settings.figures:
                _for_papers(beside, drawing, figure)
            shown[drawing.stem] = embedded(figure, drawing.title, f"f{len(shown)}-")
        if beside and result.settings.figures:
            for drawing in matrices(result):
                _for_papers(beside, drawing, drawing.draw())
        papers = beside.written if beside else []
        for path in papers:
            files.setdefault(path.stem, []).append(f"{FOLDER}/{path.name}")
        outputs.text(PAGE_FILE, page_of(result, shown, files))
    return [*outputs.written, *papers]


def _for_papers(outputs: Outputs, drawing: Drawing, figure: Figure) -> None:
    """As PNG and as vector PDF."""
    outputs.png(drawing.stem, figure, drawing.title)
    dots_as_picture(figure, _MOST_VECTOR_DOTS)
    about = {"Title": drawing.title, "Creator": "cnn-filter-shift", "CreationDate": None}
    # Type 42: letters stay letters in the PDF, as journals ask.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        outputs.file(f"{drawing.stem}.pdf", partial(figure.savefig, metadata=about, dpi=200))
