"""What is known to be labelled wrong in the published data, and what it should say. Data, applied while listing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Correction:
    """Of the models whose ``field`` matches ``wrong`` (and whose name matches ``model``) the field says ``right``.

    Attributes:
        field: column of ``models``.
        wrong: the whole published value, a regular expression.
        right: what it should say.
        why: where that is known from, for ``origins``.
        model: whole name of the model, a regular expression.
    """

    field: str
    wrong: str
    right: str
    why: str
    model: str = ".*"


CORRECTIONS: Sequence[Correction] = (
    Correction(
        "task",
        r".*Segmentation.*",
        "Segmentation",
        "the authors' notebook: every kind of segmentation is one task",
    ),
    Correction(
        "visual_category",
        "formula",
        "fractals",
        "the authors' notebook: v0.1 says formula for fractals",
    ),
    Correction(
        "visual_category",
        "medical ct",
        "medical mri",
        "paulgavrikov/CNN-Filter-DB issue 1: CompNet was trained on MRI",
        model=r"compnet_.*",
    ),
)


def corrected(field: str, value: str, model: str) -> tuple[str, str | None]:
    """The value as it should be, and why it is another than the published one; None where it is the same.

    Args:
        field: column of ``models``.
        value: as published.
        model: the model's name.
    """
    for each in CORRECTIONS:
        applies = each.field == field and re.fullmatch(each.model, model, re.IGNORECASE | re.DOTALL)
        if applies and value != each.right and re.fullmatch(each.wrong, value, re.DOTALL):
            return each.right, f"corrected from {value!r}, {each.why}"
    return value, None
