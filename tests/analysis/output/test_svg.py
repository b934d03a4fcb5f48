"""Figures inside a page: no name becomes markup, nothing refers out of its figure, many dots are one picture."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.output.markup import Markup, el, together
from analysis.output.svg import MOST_DOTS, embedded
from analysis.pictures.canvas import Canvas, Caption
from analysis.pictures.counts import Counts, draw_counts
from tests.analysis.report.stores import IMAGE, LINK, SCRIPT

#: As labels of a picture are made of names from model cards.
HOSTILE = (
    IMAGE,
    SCRIPT,
    LINK,
    "]]><svg onload=alert(5)>",
    '" onload="alert(6)',
    "url(#x);fill:red",
    "&amp;#1a1a1a ü",
)


class _Read(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def bars(names: tuple[str, ...], *remarks: str) -> Figure:
    return draw_counts([Counts("kinds", names, range(len(names), 0, -1), 1)], Caption("A title", remarks))


def scatter(number: int) -> Figure:
    figure = Figure()
    FigureCanvasAgg(figure)
    generator = np.random.default_rng(0)
    axes = figure.add_subplot()
    axes.scatter(generator.random(number), generator.random(number), s=4)
    axes.plot(generator.random(number), generator.random(number), ".")
    return figure


def test_an_element_holds_texts_and_markup_apart() -> None:
    built = el("p", IMAGE, el("b", "x"), None, [["a & b"]], class_="<'\">", data_x=1, hidden=True)
    assert built == (
        '<p class="&lt;&#x27;&quot;&gt;" data-x="1" hidden>&lt;img src=x onerror=alert(1)&gt;<b>x</b>a &amp; b</p>'
    )
    assert together([Markup("<i>"), "<i>"]) == "<i>&lt;i&gt;"


def test_names_are_texts_of_the_figure() -> None:
    read = _Read(embedded(bars(HOSTILE), f"Models of {SCRIPT}", "f0-").svg)
    assert {tag for tag, _ in read.elements} <= {"svg", "g", "defs", "clippath", "path", "rect", "text"}
    assert [text for text in read.texts if text in HOSTILE] == [name for name in HOSTILE if len(name) <= 34]
    assert any(text.startswith(SCRIPT[:10]) for text in read.texts)  # too long: its ends
    attributes = {key for _, found in read.elements for key in found}
    assert not {key for key in attributes if key.startswith("on") or key == "style"}
    assert read.elements[0][1]["aria-label"] == f"Models of {SCRIPT}"


def test_references_stay_within_their_figure() -> None:
    first, second = embedded(scatter(20), "dots", "f0-").svg, embedded(scatter(20), "dots", "f1-").svg
    for page, prefix in ((first, "f0-"), (second, "f1-")):
        ids = re.findall(r' id="([^"]*)"', page)
        targets = re.findall(r'href="#([^"]*)"', page) + re.findall(r"url\(#([^)]*)\)", page)
        assert targets
        assert len(set(ids)) == len(ids)
        assert set(targets) <= set(ids)
        assert all(each.startswith(prefix) for each in ids)
    assert first == second.replace("f1-", "f0-")  # the same figure, the same bytes


def test_the_page_says_what_stood_above_the_figure() -> None:
    remark = "a remark that is much too long for one line " * 5
    figure = bars(("one", "two"), remark.strip(), "another")
    high = figure.get_size_inches()[1]
    found = embedded(figure, "A title", "f0-")
    assert found.remarks == (remark.strip(), "another")
    read = _Read(found.svg)
    assert not [text for text in read.texts if "title" in text or "remark" in text]
    assert "kinds" in read.texts
    assert int(read.elements[0][1]["height"]) < 96 * (high - 0.8)  # its room is gone as well


def test_many_dots_are_a_picture() -> None:
    few, many = (embedded(scatter(number), "dots", "f0-").svg for number in (MOST_DOTS // 4, MOST_DOTS))
    assert "<image" not in few
    assert few.count("<use") > MOST_DOTS // 4
    assert "<image" in many
    assert many.count("<use") < 50  # marks of the axes
    assert len(many) < len(few) * 3  # of four times as many dots, and no more for any number
    assert {attributes["href"][:22] for tag, attributes in _Read(many).elements if tag == "image"} == {
        "data:image/png;base64,"
    }


def test_what_the_page_does_not_know_is_refused() -> None:
    canvas = Canvas.blank()
    canvas.open(3, 3, "hatched", ())
    canvas.axes(0.5, 1, 2, 2).bar([0], [1], hatch="//")
    with pytest.raises(ValueError, match="does not know: pattern"):
        embedded(canvas.figure, "hatched", "f0-")
