"""Figures of matplotlib as SVG inside the page: texts stay texts, in the page's font, and nothing can run.

What matplotlib wrote is read as XML and written again: known elements and attributes, references to places in the same
figure and to pictures held in it. Styles become attributes, so that the page's policy need not allow any.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from xml.etree.ElementTree import Element, fromstring

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analysis.output.markup import Markup, el
from analysis.pictures.canvas import GAP, REMARK_ID, TITLE_ID

#: More dots than this in one figure are a picture inside the SVG: as elements they would make the page slow.
MOST_DOTS = 2000

_POINTS, _PIXELS = 72, 96  # an inch, in the SVG and on a screen
_RASTER = 144  # dots an inch of a picture inside

_ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "rect", "use", "text", "tspan", "image"}
_LEFT_OUT = {"metadata", "style"}
_KEPT = {
    *("d", "x", "y", "width", "height", "transform", "fill", "fill-opacity", "opacity", "stroke", "stroke-opacity"),
    *(
        "stroke-width",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
    ),
    *("font-size", "font-weight", "font-style", "text-anchor"),
}
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]*")
_LONG_NUMBER = re.compile(r"(\.\d\d)\d+")


@dataclass(frozen=True, slots=True)
class Embedded:
    """A figure for the page: its ``svg``, and the ``remarks`` that stood above it, which the page says itself."""

    svg: Markup
    remarks: tuple[str, ...]


def embedded(figure: Figure, title: str, prefix: str) -> Embedded:
    """``figure`` without its header; it is changed, so save it before. ``prefix`` begins its ids: one a page."""
    remarks = _take_header(figure)
    tops = [*(text.get_position()[1] for text in figure.texts), *(axes.get_position().y1 for axes in figure.axes)]
    width, height = figure.get_size_inches()
    cut = max(0.0, height * (1 - max(tops)) - GAP)  # inches at the top that are empty now
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    dots_as_picture(figure, MOST_DOTS)
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(written, format="svg", dpi=_RASTER, metadata={"Date": None})
    ids: dict[str, str] = {}
    svg = el(
        "svg",
        [_rewritten(child, prefix, ids) for child in fromstring(written.getvalue())],
        width=round(width * _PIXELS),
        height=round((height - cut) * _PIXELS),
        viewBox=f"0 {cut * _POINTS:.5g} {width * _POINTS:.5g} {(height - cut) * _POINTS:.5g}",
        class_="tall" if height - cut > 1.5 * width else "flat",  # tall ones go over several sheets of paper
        role="img",
        aria_label=title,
        stroke_linejoin="round",
    )
    return Embedded(svg, remarks)


def dots_as_picture(figure: Figure, most: int) -> None:
    """Clouds of dots become pictures inside a vector file if there are more than ``most`` in the figure."""
    clouds: dict[Artist, int] = {}
    for axes in figure.axes:
        clouds |= {
            dots: len(np.asarray(dots.get_offsets())) for dots in axes.collections if isinstance(dots, PathCollection)
        }
        clouds |= {line: len(np.asarray(line.get_xdata())) for line in axes.lines if line.get_linestyle() == "None"}
    if sum(clouds.values()) > most:
        for cloud in clouds:
            cloud.set_rasterized(True)


def _take_header(figure: Figure) -> tuple[str, ...]:
    """Remove the title and the remarks from the figure; the remarks, each on one line again."""
    found: dict[str, list[str]] = {}
    for text in list(figure.texts):
        name = text.get_gid() or ""
        if name.startswith((TITLE_ID, REMARK_ID)):
            found.setdefault(name, []).append(text.get_text())
            text.remove()
    return tuple(" ".join(lines) for name, lines in found.items() if name != TITLE_ID)


def _rewritten(node: Element, prefix: str, ids: dict[str, str]) -> Markup:
    """``node`` as an element of the page; ``ids``: of the figure → of the page, filled on the way."""
    name = node.tag.rpartition("}")[2]
    if name in _LEFT_OUT:
        return Markup()
    if name not in _ELEMENTS:
        raise ValueError(f"a figure holds an element that the page does not know: {name}")
    content = [_rewritten(child, prefix, ids) for child in node]
    if name in ("text", "tspan"):
        content.insert(0, Markup(html.escape(node.text or "")))
    attributes = _attributes(name, node.attrib, prefix, ids)
    if name == "g" and (not attributes or not any(content)):
        return Markup("".join(content))  # a group that says nothing
    return el(name, content, **attributes)


def _attributes(name: str, given: Mapping[str, str], prefix: str, ids: dict[str, str]) -> dict[str, str]:
    def place(target: str) -> str:
        return ids.setdefault(target, f"{prefix}{len(ids)}")

    styles = (part.partition(":") for part in given.get("style", "").split(";"))
    found = {}
    for key, value in chain(((key.strip(), value.strip()) for key, _, value in styles), given.items()):
        key = key.rpartition("}")[2]
        if key in _KEPT:
            found[key] = " ".join(_LONG_NUMBER.sub(r"\1", value).split())
        elif key == "id" and name in ("path", "clipPath"):
            found["id"] = place(value)
        elif key == "clip-path":
            found["clip-path"] = f"url(#{place(value.removeprefix('url(#').removesuffix(')'))})"
        elif key == "href" and name == "use":
            found["href"] = f"#{place(value.removeprefix('#'))}"
        elif key == "href" and name == "image" and _PICTURE.fullmatch(value):
            found["href"] = "".join(value.split())
    return found
