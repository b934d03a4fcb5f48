"""Characters that no font has."""

from __future__ import annotations

from analysis.pictures.fonts import fonts_for


def test_characters_no_font_has_become_their_code() -> None:
    fonts = fonts_for(["Ελ", "\U00013000"])
    assert fonts.families[0] == "DejaVu Sans"
    if "\U00013000" in fonts.missing:  # an Egyptian hieroglyph: hardly any machine has it
        assert fonts.drawable("a\U00013000") == "a\\U00013000"
    assert fonts.drawable("Ελ") == "Ελ"
