"""Figures of matplotlib as SVG inside the page: texts stay texts, in the page's font, and nothing can run.

What matplotlib wrote is read as XML and written again: known elements, known attributes, references to places in the
same figure and to pictures held in it. Styles become attributes, so that the page's policy need not allow any.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analysis.pictures.canvas import GAP, REMARK_ID, TITLE_ID
from analysis.report.markup import Markup

#: More dots than this in one figure are a picture inside the SVG: as elements they would make the page slow.
MOST_DOTS = 2000

_POINTS, _PIXELS = 72, 96  # an inch, in the SVG and on a screen
_RASTER = 144  # dots an inch of a picture inside

_ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "rect", "use", "text", "tspan", "image"}
_LEFT_OUT = {"metadata", "style"}
_GEOMETRY = {"d", "x", "y", "width", "height", "transform"}
_STYLES = {
    *("fill", "fill-opacity", "opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray"),
    *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit"),
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
    body = [*(text.get_position()[1] for text in figure.texts), *(axes.get_position().y1 for axes in figure.axes)]
    width, height = figure.get_size_inches()
    cut = max(0.0, height * (1 - max(body)) - GAP)  # inches at the top that are empty now
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    dots_as_picture(figure, MOST_DOTS)
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(written, format="svg", dpi=_RASTER, metadata={"Date": None})
    content = "".join(_Writer(prefix, {}).children(ElementTree.fromstring(written.getvalue())))
    inner = f"0 {cut * _POINTS:.4g} {width * _POINTS:.5g} {(height - cut) * _POINTS:.5g}"
    size = f'width="{width * _PIXELS:.0f}" height="{(height - cut) * _PIXELS:.0f}" viewBox="{inner}"'
    named = f'role="img" aria-label="{html.escape(title)}" stroke-linejoin="round"'
    return Embedded(Markup(f"<svg {size} {named}>{content}</svg>"), remarks)


def dots_as_picture(figure: Figure, most: int) -> None:
    """Clouds of dots become pictures inside a vector file if there are more than ``most`` in the figure."""
    clouds = [
        (artist, len(artist.get_offsets()))  # type: ignore[arg-type]
        for axes in figure.axes
        for artist in axes.collections
        if isinstance(artist, PathCollection)
    ] + [
        (line, len(line.get_xdata()))  # type: ignore[arg-type]
        for axes in figure.axes
        for line in axes.lines
        if line.get_linestyle() == "None"
    ]
    if sum(number for _, number in clouds) > most:
        for cloud, number in clouds:
            cloud.set_rasterized(number > 1)


def _take_header(figure: Figure) -> tuple[str, ...]:
    """Remove the title and the remarks from the figure; the remarks, each on one line again."""
    found: dict[str, list[str]] = {}
    for text in list(figure.texts):
        name = text.get_gid() or ""
        if name == TITLE_ID or name.startswith(REMARK_ID):
            found.setdefault(name, []).append(text.get_text())
            text.remove()
    found.pop(TITLE_ID, None)
    return tuple(" ".join(lines) for lines in found.values())


@dataclass(frozen=True, slots=True)
class _Writer:
    """``ids``: of the figure → of the page."""

    prefix: str
    ids: dict[str, str]

    def children(self, node: ElementTree.Element) -> Iterator[str]:
        for child in node:
            yield from self.element(child)

    def element(self, node: ElementTree.Element) -> Iterator[str]:
        name = node.tag.rpartition("}")[2]
        if name in _LEFT_OUT:
            return
        if name not in _ELEMENTS:
            raise ValueError(f"a figure holds an element that the page does not know: {name}")
        attributes = self.attributes(name, node)
        content = "".join(self.children(node))
        if name in ("text", "tspan"):
            content = html.escape(node.text or "") + content + html.escape((node.tail or "").strip())
        elif name in ("g", "defs") and (not content or not attributes and name == "g"):
            yield content  # a group that says nothing
            return
        shown = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
        yield f"<{name}{shown}>{content}</{name}>" if content else f"<{name}{shown}/>"

    def attributes(self, name: str, node: ElementTree.Element) -> dict[str, str]:
        found = {}
        for key, value in node.items():
            key = key.rpartition("}")[2]
            if key in _GEOMETRY:
                found[key] = " ".join(_LONG_NUMBER.sub(r"\1", value).split())
            elif key == "id" and name in ("path", "clipPath"):
                found["id"] = self.id_of(value)
            elif key == "clip-path":
                found["clip-path"] = f"url(#{self.id_of(value.removeprefix('url(#').removesuffix(')'))})"
            elif key == "href" and name == "use":
                found["href"] = f"#{self.id_of(value.removeprefix('#'))}"
            elif key == "href" and name == "image" and _PICTURE.fullmatch(value):
                found["href"] = "".join(value.split())
            elif key == "style":
                pairs = (part.split(":", 1) for part in value.split(";") if ":" in part)
                found |= {style.strip(): set_.strip() for style, set_ in pairs if style.strip() in _STYLES}
        return found

    def id_of(self, name: str) -> str:
        return self.ids.setdefault(name, f"{self.prefix}{len(self.ids)}")
