"""HTML put together from elements: what is not markup already is text, whatever it holds."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias


class Markup(str):
    """A string that is markup."""


Child: TypeAlias = "str | Iterable[Child] | None"


def el(tag: str, *children: Child, **attributes: str | int) -> Markup:
    """An element. Names of attributes are written as Python allows (``class_``, ``aria_label``); True stands alone."""
    shown = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{shown}>{together(children)}</{tag}>")


def together(children: Child) -> Markup:
    """Elements and texts one after the other."""
    if isinstance(children, str):
        return children if isinstance(children, Markup) else Markup(html.escape(children))
    return Markup("".join(together(child) for child in children or ()))
