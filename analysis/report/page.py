"""The page: static markup, styles and scripts put together into one file that needs nothing else.

Data stand in one JSON block; the scripts build every element from it as text. So a name can't become markup here, and
the page's own security policy admits no script but the two whose digests it names, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
from importlib.resources import files
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from analysis.report.encoding import script_json

#: In this order: each uses what stands before it.
_SCRIPTS = (
    "base.js",
    "table.js",
    "plot.js",
    "contents.js",
    "matrix_data.js",
    "matrix.js",
    "boxes.js",
    "structure.js",
    "quality.js",
    "models.js",
    "main.js",
)


def page_of(content: dict[str, Any], title: str) -> str:
    """The whole HTML file, UTF-8, about ``content``."""
    plotly = _script(get_plotlyjs())
    ours = _script("'use strict';\n(() => {\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(plotly)} {_digest(ours)}",
            "style-src 'unsafe-inline'",  # plotly sets styles on the elements it draws
            "img-src data: blob:",  # heat maps are pictures that plotly makes
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return Template(_asset("page.html")).substitute(
        policy=html.escape(policy),
        title=html.escape(title),
        styles=_asset("style.css"),
        data=script_json(content),
        plotly=plotly,
        script=ours,
    )


def _asset(name: str) -> str:
    return files("analysis.report").joinpath("assets", name).read_text(encoding="utf-8")


def _script(text: str) -> str:
    """``text`` as the content of a script element: what the browser's parser would change is changed beforehand, so
    that the digest is that of what it sees.

    Raises:
        ValueError: it can't stand inside a script element.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lower = text.lower()
    if "</script" in lower or "<!--" in lower or "\0" in text:
        raise ValueError("a script of the report holds characters that end a script element")
    return text


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
