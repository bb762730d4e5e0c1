"""The labelled questions of benchmarks/refusals: what is labelled is there, and rates are counted as they say."""

from __future__ import annotations

import json

import pytest

from benchmarks.bench_refusals import Outcome, rate
from benchmarks.refusal_mix import EVAL, OWN, Asked, read_own, read_shared
from rag.chat.extractive import Choice, Quote

MIX = read_own()


def test_each_answering_excerpt_stands_in_its_document_once() -> None:
    for line in (OWN / "questions.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        assert bool(row["excerpts"]) is (row["kind"] == "answerable")
        for words in row["excerpts"]:
            assert MIX.collections[row["half"]][row["document"]].count(words) == 1, row["question"]


def test_no_question_is_asked_twice_of_a_collection() -> None:
    asked = [(one.collection, one.question) for one in MIX.asked]
    assert len(set(asked)) == len(asked)


def test_both_halves_have_questions_with_and_without_an_answer() -> None:
    for half in ("tuned", "held_back"):
        answerable = [one.answerable for one in MIX.asked if one.collection == half]
        assert answerable.count(True) >= 60
        assert answerable.count(False) >= 100


@pytest.mark.skipif(not (EVAL / "chunking_eval").exists(), reason="the shared evaluation sets are not here")
def test_the_shared_sets_are_asked_of_the_wrong_texts_too() -> None:
    mix = read_shared()
    assert {one.collection for one in mix.asked} == set(mix.collections)
    assert sum(bool(one.answer) for one in mix.asked) == sum(bool(one.withheld) for one in mix.asked) == 220
    for one in mix.asked:
        assert all(0 <= start < end for start, end in (*one.answer, *one.withheld))


def outcome(*spans: tuple[str, int, int], relevant: bool = True, sure: bool = True, answerable: bool = True) -> Outcome:
    quotes = [Quote(1, start, end, "x" * (end - start)) for _, start, end in spans]
    quoted: dict[str, list[tuple[int, int]]] = {}
    for document, start, end in spans if relevant else ():
        quoted.setdefault(document, []).append((start, end))
    asked = Asked("set", "set", "?", answerable, "a.txt", ((0, 10),) if answerable else ())
    return Outcome(asked, Choice(quotes, relevant, 5, sure), quoted)


def test_rates_of_answerable_questions() -> None:
    rows = {
        row["name"]: row
        for row in rate(
            [
                outcome(("a.txt", 0, 10)),  # all of it and nothing else
                outcome(("a.txt", 5, 15), ("b.txt", 0, 10), sure=False),  # half of it, and 15 characters of others
                outcome(("a.txt", 0, 10), relevant=False),
                outcome(("b.txt", 0, 10)),
            ]
        )
    }
    assert rows["set: false refusals"]["value"] == 0.25
    assert rows["set: false refusals"]["with reserve"] == 0.25
    assert rows["set: answering words that are quoted"]["value"] == pytest.approx((1 + 0.5 + 0 + 0) / 4, abs=1e-3)
    assert rows["set: quoted words that don't answer"]["value"] == pytest.approx((0 + 0.75 + 1) / 3, abs=1e-3)


def test_rates_of_questions_without_an_answer() -> None:
    (row,) = rate([outcome(("a.txt", 0, 9), answerable=False), outcome(relevant=False, answerable=False)])
    assert (row["name"], row["value"], row["unit"]) == ("set: false answers", 0.5, "of 2")
