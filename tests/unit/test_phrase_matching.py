"""Phrases in texts: what counts as the same, what only nearly, and where it stands."""

from __future__ import annotations

import re

import pytest

from rag.errors import InvalidInput
from rag.retrieval.phrase_matching import check_phrase, find_phrase, fold, pattern_of

TEXT = (
    "The war-\nranty period of the “Falcon” pump is 27 months\nfrom delivery. "
    "co-operate ﬁre Straße. It isn’t 127 days. 保証期間は二十七か月です。"
)


@pytest.mark.parametrize(
    ("phrase", "passage", "differences"),
    [
        ("27 months", "27 months", ()),
        ("27 months.", "27 months", ()),
        ("warranty period", "war-\nranty period", ("hyphenation", "line breaks")),
        ('the "Falcon" pump', "the “Falcon” pump", ("quotation marks",)),
        ("cooperate", "co-operate", ("hyphens",)),
        ("THE FALCON", "the “Falcon", ("quotation marks", "capitals")),
        ("Strasse", "Straße", ("forms of letters",)),
        ("isn't", "isn’t", ("quotation marks",)),
        ("保証期間", "保証期間", ()),
    ],
)
def test_the_same_letters_are_the_same_phrase(phrase: str, passage: str, differences: tuple[str, ...]) -> None:
    found = find_phrase(TEXT, check_phrase(phrase))[0]
    assert TEXT[found.start : found.end] == passage
    assert found.differences == differences
    assert found.likeness == ("spelled" if differences else "exact")


def test_numbers_are_not_cut_and_whole_words_come_first() -> None:
    assert find_phrase(TEXT, "27 days") == []
    found = find_phrase("A party of art lovers", "art")
    assert [(place.start, place.end) for place in found] == [(11, 14)]
    assert len(find_phrase("A party", "art")) == 1


def test_nearly_the_phrase_is_said_to_be_only_that() -> None:
    [found] = find_phrase(TEXT, "The warranty period of a Falcon pump is 27 months")
    assert found.likeness == "approximate"
    assert 0.8 < found.alike < 1
    assert TEXT[found.start : found.end].endswith("27 months")
    assert find_phrase(TEXT, "zebra crossings are striped in black and white") == []
    assert find_phrase("", "anything at all") == []


def test_all_places_are_found_in_order() -> None:
    found = find_phrase("one two. One-two! ONE  TWO", "one two", limit=2)
    assert [place.start for place in found] == [0, 9]


def test_offsets_count_code_points_of_the_text() -> None:
    text = "😀😀 ﬁne print"
    [found] = find_phrase(text, "fine print")
    assert text[found.start : found.end] == "ﬁne print"
    assert len(fold(text).letters) == len(fold(text).origins)


@pytest.mark.parametrize("phrase", ["warranty period", 'the "Falcon" pump', "cooperate", "27 months from delivery"])
def test_the_pattern_for_the_database_finds_what_is_spelled_so(phrase: str) -> None:
    pattern = pattern_of(phrase).replace("[^[:alnum:]]", r"[\W_]")
    assert re.search(pattern, TEXT, re.IGNORECASE)


@pytest.mark.parametrize(("phrase", "said"), [(" … ", "letters or digits"), ("a " * 1500, "at most 2,000")])
def test_what_is_no_phrase_is_refused(phrase: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_phrase(phrase)
    assert check_phrase(" a\x00b \ud800 c ") == "a b c"
