"""docs/security.md: each claim names a test, and the test is there."""

from __future__ import annotations

import ast
import functools
import re

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs/security.md").read_text(encoding="utf-8")


@functools.cache
def functions_of(path: str) -> set[str]:
    """Names of the test functions of a module, in classes as well."""
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


def test_every_claim_names_its_tests() -> None:
    section = PAGE.partition("## Claims")[2].partition("## What is not defended")[0]
    claims = re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)
    assert len(claims) > 25
    for claim in claims:
        assert re.search(r"→\s+`tests/\S+\.py::test_\w+`", claim), claim


def test_the_tests_are_there() -> None:
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    assert [(path, name) for path, name in named if name not in functions_of(path)] == []


def test_every_danger_has_its_section() -> None:
    titles = " ".join(re.findall(r"^### (.*)", PAGE, re.MULTILINE))
    for word in ("code", "Archives", "ONNX", "Names", "SQL", "Tokens and redirects", "Dashboards"):
        assert word in titles
