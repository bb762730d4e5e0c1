"""What stands out: outliers, odd lengths, strange languages, and texts that documents repeat."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import numpy as np
import pytest

from rag.health.differences import compare
from rag.health.outliers import find_odd_lengths, find_outliers
from rag.health.phrase_sets import read_phrases
from rag.health.repeats import RepeatReader, Source, cut, fingerprint
from rag.health.stray_languages import Strays, find_strays

ENGLISH = (
    "The pump of the house is in the cellar, and the key to it is on the shelf at number {} by the door of the hall."
)
GERMAN = "Die Pumpe des Hauses steht im Keller, und der Schlüssel dazu liegt auf dem Brett Nummer {} neben der Tür."


def test_a_distance_far_above_the_others_is_an_outlier() -> None:
    rng = np.random.default_rng(0)
    distances = rng.normal(0.3, 0.03, 500)
    distances[[7, 200]] = 0.8, 0.9
    found = find_outliers(distances)
    assert found.places[:2].tolist() == [200, 7]
    assert len(found.places) < 12
    assert 0.3 < found.limit < 0.5
    assert len(find_outliers(np.full(50, 0.2)).places) == 0
    assert len(find_outliers(np.empty(0)).places) == 0


def test_lengths_are_odd_by_the_median_and_by_the_window() -> None:
    words = np.array([100] * 20 + [3, 11, 12, 299, 300, 90])
    window = np.zeros(len(words), bool)
    window[-1] = True
    found = find_odd_lengths(words, window)
    assert words[found.short].tolist() == [3]
    assert words[found.long].tolist() == [300, 90]
    nothing = find_odd_lengths(np.array([2, 3, 2]), np.zeros(3, bool))
    assert len(nothing.short) == len(nothing.long) == 0


@pytest.mark.parametrize(("strange", "found"), [(4, 4), (60, 0)])
def test_a_language_of_few_passages_is_strange_and_one_of_many_is_not(strange: int, found: int) -> None:
    texts = [ENGLISH.format(n) for n in range(100)] + [GERMAN.format(n) for n in range(strange)]
    told = strays_of(texts)
    assert told.main == "en"
    assert len(told.places) == found
    assert set(told.places.values()) <= {"de"}


def test_of_a_large_corpus_only_suspects_and_a_sample_are_asked() -> None:
    rng = np.random.default_rng(4)
    common = [f"en{n}" for n in range(30)], [f"de{n}" for n in range(30)]
    rare = [f"name{n}" for n in range(3000)]

    def text(language: int) -> str:
        return " ".join([*rng.choice(common[language], 10), *rng.choice(rare, 10)])

    texts = [text(int(n % 150 == 0)) for n in range(3000)]
    told = strays_of(texts)
    assert sorted(told.places) == list(range(0, 3000, 150))
    assert told.asked < 800


def strays_of(texts: Sequence[str]) -> Strays:
    def detect(places: Sequence[int]) -> dict[int, str | None]:
        return {place: "de" if "Pumpe" in texts[place] or "de1" in texts[place] else "en" for place in places}

    sets = read_phrases(texts)
    return find_strays(sets.words, sets.common, detect)


def test_too_short_to_have_a_language() -> None:
    assert find_strays(np.array([2, 3]), np.array([0.0, 0.5]), lambda _: {}).main is None


def test_a_footer_is_found_with_its_places_whatever_its_figures() -> None:
    reader, texts = RepeatReader(), list[str]()
    for number in range(5):
        footer_text = f"Sheet {number} of 12 of the report\nAll rights reserved."
        texts.append(text := f"Letter {'abcde'[number]} has a word of its own.\n\n{footer_text}")
        reader.read(Source(uuid4(), 1), text)
    (footer,) = reader.finish()
    assert footer.documents == 5
    for place in footer.places:
        assert texts[place.document][place.start : place.end].startswith("Sheet ")
        assert texts[place.document][place.start : place.end].endswith("reserved.")


def test_what_one_document_repeats_is_no_boilerplate() -> None:
    reader = RepeatReader()
    reader.read(Source(uuid4(), 1), "This is said again and again.\n" * 50)
    reader.read(Source(uuid4(), 1), "This is said again and again.\nAnd this only here of all.")
    assert reader.finish() == []


def test_texts_are_cut_at_line_ends_and_after_sentences() -> None:
    text = "# A title\n\n  One sentence. Another one!\nVersion 1.5 of it\n"
    assert [text[a:b] for a, b in cut(text)] == ["# A title", "One sentence.", "Another one!", "Version 1.5 of it"]
    assert fingerprint("Page 3 of the yearly report") == fingerprint("page 14  of the yearly Report.")
    assert fingerprint("Short one") is None


def test_differences_are_marked_word_by_word() -> None:
    one = "The pump is in the cellar. The key is on the shelf."
    found = compare(one, one.replace("shelf", "table"))
    assert [one[a:b] for a, b in found.first] == ["shelf"]
    assert (found.words, found.kind) == (1, "words")
    assert compare(one, one).kind == "same"
    assert compare(one, one.replace(" ", "\n")).kind == "whitespace"
    moved = compare(one, "The key is on the shelf. The pump is in the cellar.")
    assert (moved.kind, moved.first, moved.second) == ("order", (), ())
