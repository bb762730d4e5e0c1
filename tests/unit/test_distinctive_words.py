"""Words that tell texts apart: in the forms that people write, without junk, in many languages."""

from __future__ import annotations

import numpy as np
import pytest

from rag.mapping.distinctive_words import best_keys, choose_terms, written
from rag.mapping.telling_sentences import Sample, choose_sentence
from rag.mapping.terms import TermReader, Words
from rag.mapping.word_table import WordTable


def read(texts: list[str], language: str | None = "en") -> list[Words]:
    reader = TermReader()
    return [reader.read(text, language) for text in texts]


def keys(text: str, language: str | None = "en") -> list[str]:
    [words] = read([text], language)
    return [form for form, key in zip(words.forms, words.keys, strict=True) if key is not None]


def distinct(classes: list[list[str]], language: str | None = "en", limit: int = 5) -> list[list[str]]:
    """The terms of each class."""
    texts = [read(some, language) for some in classes]
    table = WordTable.count(texts, [len(some) for some in classes])
    return [
        [term.text for term in choose_terms(some, best_keys(table, row, 40), limit)] for row, some in enumerate(texts)
    ]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("See https://example.org/pumps?x=1, www.a.org or <b>mail</b> me@example.org &nbsp; now", "en", ["mail"]),
        ("[the manual](http://a.b/c.pdf) and `code` in /usr/local/bin/python", "en", ["manual", "code"]),
        ("It was 2024, 12.5 % or 3rd of _5 and the A7", "en", []),
        ("The employees' boundary-layer isn't NASA's", "en", ["employees", "boundary", "layer", "NASA"]),
        ("L'énergie de l'eau, dell'acqua", "fr", ["énergie", "eau", "acqua"]),
        ("Die Wärmepumpe und das Öl", "de", ["Wärmepumpe", "Öl"]),
        ("Что такое тепловой насос?", "ru", ["тепловой", "насос"]),
        ("تغيّر المناخ في العالم", "ar", ["تغيّر", "المناخ", "العالم"]),
        ("जलवायु परिवर्तन की समस्या", "hi", ["जलवायु", "परिवर्तन", "समस्या"]),
        ("東京でコンピュータを使って機械学習を研究する", "ja", ["東京", "コンピュータ", "機械学習", "研究"]),
        ("", "en", []),
        ("word", "xx", ["word"]),
    ],
)
def test_words_without_junk(text: str, language: str, found: list[str]) -> None:
    assert keys(text, language) == found


def test_pairs_are_kept_where_they_are_better() -> None:
    flow = ["The laminar boundary layer grows.", "A boundary layer separates.", "Boundary-layer theory holds."]
    pump = ["The pump drives water.", "Pumps need oil.", "A worn pump leaks."]
    first, second = distinct([flow * 3, pump * 3])
    assert first[0] == "boundary layer"
    assert not {"boundary", "layer"} & set(first)
    assert second[0] == "pump"


def test_forms_of_one_word_are_one_and_the_usual_form_is_shown() -> None:
    first, _ = distinct([["Employees work.", "An employee left.", "employees stay"], ["Rain falls."] * 3])
    assert first[0] == "employees"
    assert sum(term.lower().startswith("employ") for term in first) == 1


def test_names_keep_their_capitals_and_beginnings_of_sentences_do_not() -> None:
    space = ["NASA launched a rocket.", "Rocket engines of NASA burn.", "The rocket of NASA flew."]
    first, _ = distinct([space, ["Cake is sweet."] * 3])
    assert {"NASA", "rocket"} <= set(first)


def test_a_word_of_nearly_every_class_is_nobodys() -> None:
    classes = [
        [f"The report describes {topic} well.", f"A report on {topic}."] for topic in ("bees", "cars", "ice", "tea")
    ]
    for topic, terms in zip(("bees", "cars", "ice", "tea"), distinct(classes), strict=True):
        assert terms[0] == topic
        assert "report" not in terms


def test_one_text_that_repeats_a_word_does_not_speak_for_all() -> None:
    texts = ["spam " * 50 + "honey", *["The hive gives honey."] * 5]
    first, _ = distinct([texts, ["Cake is sweet."] * 6])
    assert first[0] in ("honey", "hive")


def test_chinese_words_are_found_whole_among_runs() -> None:
    climate = ["气候变化影响农业。", "全球气候变化加剧。", "应对气候变化的政策。"]
    chess = ["国际象棋的开局。", "他喜欢国际象棋。", "国际象棋比赛。"]
    first, second = distinct([climate, chess], "zh", 3)
    assert first[0] == "气候变化"
    assert second[0] == "国际象棋"
    assert not any(term in "气候变化" for term in first[1:])


def test_groups_of_classes_weigh_by_size() -> None:
    table = WordTable.count(read_all([["bees fly"] * 2, ["bees rest"] * 2, ["ice melts"] * 2]), [300, 100, 50])
    grouped = table.grouped([[0, 1], [2]])
    assert grouped.sizes.tolist() == [400, 50]
    assert grouped.shares[0, grouped.words.index("fli")] == pytest.approx(0.75)
    assert grouped.shares[0, grouped.words.index("bee")] == pytest.approx(1)


def read_all(classes: list[list[str]]) -> list[list[Words]]:
    return [read(texts) for texts in classes]


def test_c_tf_idf_is_that_of_the_paper() -> None:
    """W = tf · log(1 + A / f), Grootendorst 2022, equation 2, over shares of texts."""
    table = WordTable.count(read_all([["bees honey"] * 4, ["ice snow"] * 4]), [4, 4])
    bees = table.words.index("bee")
    assert table.scores()[0, bees] == pytest.approx(np.log(1 + 2 / 1))
    assert table.scores()[1, bees] == 0


def test_written_prefers_what_is_written_most() -> None:
    assert (
        written(read(["Grüne Wärmepumpen", "eine Wärmepumpe", "die Wärmepumpe"], "de"), ("warmepump",)) == "Wärmepumpe"
    )


def test_a_name_is_whole_also_where_its_first_word_is_a_common_one() -> None:
    texts = read(["The arsenal at Little Rock fell.", "In Little Rock they met.", "Little Rock, and the Rock itself."])
    assert written(texts, ("rock",)) == "Little Rock"
    assert written(read(["A Rock fell.", "The Rock held.", "One Rock was left."]), ("rock",)) == "Rock"


def sample(number: int, text: str, vector: tuple[float, float] = (1, 0), excluded: bool = False) -> Sample:
    return Sample(number, text, "en", excluded, np.array(vector, np.float32))


def test_the_sentence_is_whole_near_the_centre_and_about_the_words() -> None:
    samples = [
        sample(1, "# Hives\n\nIt was so.\n\nThe beekeeper opens the hive on a warm afternoon.\n\n12 | 13 | 14 | 15"),
        sample(2, "this fragment about the hive has no end and no beginning"),
        sample(3, "The beekeeper is not allowed to quote this hive.", excluded=True),
    ]
    found = choose_sentence(samples, {"hive": 2.0, "beekeep": 1.0}, TermReader())
    assert found is not None
    assert (found.text, found.chunk_id) == ("The beekeeper opens the hive on a warm afternoon.", 1)
    assert choose_sentence([sample(1, "1.5 2.5 3.5; 4 = 5"), samples[2]], {"hive": 1.0}, TermReader()) is None
