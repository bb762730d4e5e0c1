"""Words of a question in the words of a text, in whatever form."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from rag.chat.sentences import words
from rag.chat.word_forms import Wording, find_words, fold, share_words, stem


def wording(text: str, language: str = "en") -> Wording:
    return Wording(frozenset(words(text)), language)


@pytest.mark.parametrize(
    ("asked", "text", "language", "has"),
    [
        ("fahrrad", "Fahrräder gehören in den Keller.", "de", True),
        ("ferme", "Le sentier est fermé.", "fr", True),
        ("study", "Several studies were made.", "en", True),
        ("保修", "水泵的保修期", "zh", True),
        ("27", "after 28 months", "en", False),
        ("pump", "The lake is deep.", "en", False),
    ],
)
def test_forms_of_a_word_are_found(asked: str, text: str, language: str, has: bool) -> None:
    assert find_words([asked], [wording(text, language)]).tolist() == [[has]]


def test_each_text_is_read_in_its_own_language() -> None:
    found = find_words(["kinder"], [wording("a kind word", "en"), wording("das Kind lacht", "de")])
    assert found.tolist() == [[False], [True]]


def test_rare_and_telling_words_count_more_than_those_that_are_everywhere() -> None:
    texts = [wording("what is the"), wording("a warranty"), wording("what is it"), wording("what was the")]
    shares = share_words(words("what is the warranty"), texts)
    assert shares.argmax() == 1
    assert np.all((shares >= 0) & (shares <= 1))


def test_no_words_and_no_texts() -> None:
    assert share_words([], [wording("x")]).tolist() == [0.0]
    assert share_words(["x"], []).tolist() == []


def test_an_unknown_language_is_compared_as_it_stands() -> None:
    assert stem("maneno", "sw") == "maneno"
    assert fold("Ångström") == "Angstrom"


def test_stemmers_are_each_thread_s_own() -> None:
    wrong: list[str] = []

    def work() -> None:
        for number in range(3000):
            word = ("running", "gardens", "studies")[number % 3]
            if stem(word, "en") != {"running": "run", "gardens": "garden", "studies": "studi"}[word]:
                wrong.append(word)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
