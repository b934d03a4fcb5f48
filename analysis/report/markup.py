"""HTML put together from elements: what is not markup already is text, whatever it holds."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

#: What is set as an attribute: True stands alone, None and False are left out.
Value: TypeAlias = str | int | bool | None


class Markup(str):
    """A string that is markup."""


Child: TypeAlias = "str | None | Iterable[Child]"


def el(tag: str, *children: Child, **attributes: Value) -> Markup:
    """An element. Names of attributes are written as Python allows: ``class_``, ``aria_label``."""
    shown = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{tag}{shown}>{together(children)}</{tag}>")


def together(children: Child) -> Markup:
    """Elements and texts one after the other."""
    if children is None:
        return Markup()
    if isinstance(children, str):
        return children if isinstance(children, Markup) else Markup(html.escape(children))
    return Markup("".join(map(together, children)))
