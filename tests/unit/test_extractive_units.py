"""Units that can be quoted on their own, with their exact spans."""

from __future__ import annotations

import pytest

from rag.chat.sentences import MAX_UNIT_CHARS, find_units, same_word, words


def texts(text: str, language: str = "en") -> list[str]:
    return [text[unit.start : unit.end] for unit in find_units(text, language)]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Smith measured 3.5 mm. It was e.g. small.", ["Dr. Smith measured 3.5 mm.", "It was e.g. small."]),
        ("en", "Wrapped\nlines go on. 😀 Next!", ["Wrapped\nlines go on.", "😀 Next!"]),
        ("zh", "保修期是二十七个月！真的吗？是的。", ["保修期是二十七个月！", "真的吗？", "是的。"]),
        ("ja", "保証は27ヶ月です。はい。", ["保証は27ヶ月です。", "はい。"]),
        ("de", "Am 3. Mai kam er. Ende.", ["Am 3. Mai kam er.", "Ende."]),
        ("ar", "هل تعمل؟ نعم، تعمل.", ["هل تعمل؟", "نعم، تعمل."]),
        ("hi", "यह एक परीक्षण है। हाँ।", ["यह एक परीक्षण है।", "हाँ।"]),
        ("unknown", "One here. Two there.", ["One here.", "Two there."]),
    ],
)
def test_sentences_of_many_languages(language: str, text: str, expected: list[str]) -> None:
    assert texts(text, language) == expected


def test_blocks_of_markdown() -> None:
    text = (
        "# Title\n\nA plain title\n\nSome prose. More of it.\n\n- item one\n- item two\n  goes on\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n\ny = 2\n```\nAfter the code."
    )
    units = [(unit.kind, text[unit.start : unit.end]) for unit in find_units(text)]
    assert units == [
        ("title", "Title"),
        ("title", "A plain title"),
        ("sentence", "Some prose."),
        ("sentence", "More of it."),
        ("item", "item one"),
        ("item", "item two\n  goes on"),
        ("row", "| a | b |"),
        ("row", "| 1 | 2 |"),
        ("code", "x = 1\n\ny = 2"),
        ("sentence", "After the code."),
    ]


def test_lines_of_data_are_rows() -> None:
    assert texts('"id": "Sample-1",\n"name": "Sample 1"') == ['"id": "Sample-1",', '"name": "Sample 1"']


def test_endless_text_is_cut_without_losing_any() -> None:
    text = "นี่คือการทดสอบ " * 200
    pieces = texts(text, "th")
    assert all(len(piece) <= MAX_UNIT_CHARS for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert [len(piece) for piece in texts("x" * 1200)] == [500, 500, 200]


def test_words_fold_case_and_cut_unspaced_scripts_into_bigrams() -> None:
    assert words("Die GARANTIE, 27.5 Monate") == ["die", "garantie", "27.5", "monate"]
    assert words("保修期") == ["保修", "修期"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("warranty", "warranties", True),
        ("pump", "pumps", True),
        ("contain", "continent", False),
        ("27", "28", False),
        ("form", "formula", False),
    ],
)
def test_forms_of_a_word(one: str, other: str, same: bool) -> None:
    assert same_word(one, other) is same


def test_a_stray_apostrophe_does_not_run_sentences_together() -> None:
    text = (
        "The guild paid the masons' wages every week. Each of them had a hammer of their own and a place at the long "
        "table in the hall. Dr. Ames kept the books, and in 1841 the first stone was laid. Nobody remembers where."
    )
    assert [piece.split()[0] for piece in texts(text)] == ["The", "Each", "Dr.", "Nobody"]


def test_a_short_first_line_heads_its_paragraph() -> None:
    text = "Opening hours\nThe shop is open from nine to five on all days but Sunday.\n\nWrapped lines\nare no heading."
    units = [(unit.kind, text[unit.start : unit.end]) for unit in find_units(text)]
    assert units[:2] == [
        ("title", "Opening hours"),
        ("sentence", "The shop is open from nine to five on all days but Sunday."),
    ]
    assert ("sentence", "Wrapped lines\nare no heading.") in units


@pytest.mark.parametrize("heading", ["== Name ==", "## Name ##", "# Name"])
def test_headings_lose_their_marks(heading: str) -> None:
    assert texts(f"{heading}\n\nText follows here.") == ["Name", "Text follows here."]
