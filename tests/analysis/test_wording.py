"""Names on one line, in a given width; numbers with their nouns."""

from __future__ import annotations

from analysis.wording import count, decimals_of, elide, one_line


def test_labels_on_one_line() -> None:
    assert one_line(" a\r\nb\u2028c ") == "a b c"
    assert one_line("\x07") == "\\x07"
    assert elide("abcdefghij", 10) == "abcdefghij"
    assert elide("abcdefghijk", 10) == "abcde…hijk"
    assert [count(1, "model"), count(12345, "filter"), count(0, "category")] == [
        "1 model",
        "12,345 filters",
        "0 categories",
    ]
    assert [decimals_of(x) for x in (1.36, 0.7, 0.04, 0.0, 1e-12, 30.0)] == [2, 3, 4, 2, 5, 2]
