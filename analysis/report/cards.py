"""The parts of the page: cards with figures, tables and the commands behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.output.markup import Child, Markup, el
from analysis.output.svg import Embedded
from analysis.wording import one_line


@dataclass(frozen=True, slots=True, eq=False)
class Cards:
    """Makes the cards of one page.

    Attributes:
        figures: stem → figure.
        files: stem → paths of the same for papers, relative to the page.
        commands: name → the line that gives the same numbers again.
        versions: what they were made with, in a line.
        tables: those placed so far, for the scripts.
    """

    figures: Mapping[str, Embedded]
    files: Mapping[str, Sequence[str]]
    commands: Mapping[str, str]
    versions: str
    tables: list[dict[str, Any]] = field(default_factory=list)

    def card(self, title: str, about: str, *body: Child, stem: str = "", command: str = "") -> Markup:
        """A titled card: ``about`` it, the figure ``stem`` with its remarks, the ``body``, the ``command``."""
        header = el("header", el("h3", title), self.links(stem))
        shown = self.figures.get(stem)
        figure = [el("div", shown.svg, class_="figure"), notes(shown.remarks)] if shown else None
        return el(
            "section", header, el("p", about) if about else None, figure, body, self.made_by(command), class_="card"
        )

    def links(self, stem: str, **attributes: str | bool) -> Markup | None:
        """Links to the files for papers, if they were made."""
        links = [el("a", path.rpartition(".")[2].upper(), href=path) for path in self.files.get(stem, ())]
        return (
            el("span", "for papers:", [[" ", link] for link in links], class_="files", **attributes) if links else None
        )

    def table(self, table: dict[str, Any], title: str = "As a table") -> Markup:
        """A table (``table_data``) that is made when it is opened."""
        return el("details", el("summary", title), data_table=self._kept(table))

    def open_table(self, table: dict[str, Any], **attributes: str) -> Markup:
        """A table that stands in the page."""
        return el("div", data_table=self._kept(table), **attributes)

    def made_by(self, command: str) -> Markup | None:
        """The command that gives the same again."""
        if not command:
            return None
        versions = el("p", self.versions, class_="where")
        return el("details", el("summary", "Command and versions"), el("pre", self.commands[command]), versions)

    def _kept(self, table: dict[str, Any]) -> int:
        self.tables.append(table)
        return len(self.tables) - 1


def tabs(label: str, panels: Sequence[tuple[str, Child]]) -> Markup:
    """One panel a tab; all of them below each other on paper and where no script runs."""
    return el("div", [el("div", body, data_tab=spaced(name)) for name, body in panels], data_tabs=label)


def notes(lines: Sequence[str]) -> Markup | None:
    """Remarks, a line each."""
    return el("ul", [el("li", one_line(line)) for line in lines], class_="notes") if lines else None


def spaced(axis: str) -> str:
    """The name of an axis for people."""
    return one_line(axis).replace("_", " ")
