"""The parts of the page: sections of cards with figures, tables and the commands behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.report.markup import Child, Markup, el
from analysis.report.svg import Embedded
from analysis.wording import one_line


@dataclass(frozen=True, slots=True, eq=False)
class Cards:
    """Makes the cards of one page, and keeps what its scripts need for them.

    Attributes:
        figures: stem → figure.
        files: stem → paths of the same for papers, relative to the page.
        commands: name → the line that gives the same numbers again.
        versions: what they were made with, in a line.
        tables: filled as tables are placed.
    """

    figures: Mapping[str, Embedded]
    files: Mapping[str, Sequence[str]]
    commands: Mapping[str, str]
    versions: str
    tables: list[dict[str, Any]] = field(default_factory=list)

    def card(self, title: str, about: str, *body: Child, stem: str | None = None, command: str | None = None) -> Markup:
        """A titled card: ``about`` it, the figure ``stem``, the ``body``, the ``command``."""
        heading = el("header", el("h3", title), self.links(stem) if stem else None)
        figure = self.figure(stem) if stem in self.figures else None
        return el("section", heading, el("p", about) if about else None, figure, body, self.made_by(command), class_="card")

    def figure(self, stem: str) -> Markup:
        """The figure, and what there is to remark."""
        found = self.figures[stem]
        return Markup(el("div", found.svg, class_="figure", tabindex=0) + notes(found.remarks))

    def links(self, stem: str, **attributes: str | bool) -> Markup:
        """Links to the files for papers, if they were made."""
        paths = self.files.get(stem, ())
        links = [el("a", path.rpartition(".")[2].upper(), href=path) for path in paths]
        if not links:
            return Markup()
        return el("span", "for papers: ", links[0], [[" · ", link] for link in links[1:]], class_="files", **attributes)

    def table(self, table: dict[str, Any], title: str = "As a table") -> Markup:
        """A table (``table_data``) that is made when it is opened."""
        return el("details", el("summary", title), data_table=self._kept(table))

    def open_table(self, table: dict[str, Any], **attributes: str | bool) -> Markup:
        """A table that stands in the page."""
        return el("div", data_table=self._kept(table), **attributes)

    def made_by(self, command: str | None) -> Markup | None:
        """The command that gives the same again."""
        if command is None:
            return None
        line = el("pre", self.commands[command])
        return el("details", el("summary", "Command and versions"), line, el("p", self.versions, class_="where"))

    def _kept(self, table: dict[str, Any]) -> int:
        self.tables.append(table)
        return len(self.tables) - 1


def section(name: str, title: str, lead: str, *body: Child) -> Markup:
    """A section of the page."""
    heading = (el("h2", title, id=f"{name}-title"), el("p", lead, class_="lead"))
    return el("section", heading, body, id=name, aria_labelledby=f"{name}-title")


def tabs(label: str, panels: Sequence[tuple[str, Child]]) -> Markup:
    """One panel a tab; all of them below each other on paper and where no script runs."""
    shown = [el("div", body, data_tab=spaced(name)) for name, body in panels]
    return el("div", shown, data_tabs=label)


def notes(lines: Sequence[str]) -> Markup:
    """Remarks, a line each."""
    return el("ul", [el("li", one_line(line)) for line in lines], class_="notes") if lines else Markup()


def spaced(axis: str) -> str:
    """The name of an axis for people."""
    return one_line(axis).replace("_", " ")
