"""What is said and drawn of a question's hits and of a run's answers."""

from __future__ import annotations

from uuid import UUID

import pytest

from pages.parts.ask_map_hits import explain, list_html, off_map, summarise
from pages.parts.ask_map_marks import MOST_BEYOND, question_marks, run_marks, shorten
from pages.parts.map_view import Mark
from rag.mapping.asking import Asked, Point, cut
from rag.mapping.cited_places import CitedPlace
from rag.mapping.overlays import JudgedAnswer
from rag.records import Hit
from rag.retrieval.profiles import RetrievalProfile

DOCUMENT = UUID(int=7)
PROFILE = RetrievalProfile(k=3, threshold=0.4)


def hit(number: int, similarity: float | None, text: str = "Some words.") -> Hit:
    return Hit(
        number, number, DOCUMENT, "a.txt", None, 1, None, 0, 9, [], text, similarity, None, 0.5, number, None
    )  # fmt: skip


def ask(*similarities: float | None, without: int = 0, profile: RetrievalProfile = PROFILE) -> Asked:
    """Hits 1, 2, … of these similarities; number ``without`` is not on the map."""
    hits = [hit(number, similarity) for number, similarity in enumerate(similarities, 1)]
    points = {one.chunk_id: Point(one.chunk_id, 10 * one.chunk_id, 5, 0) for one in hits if one.chunk_id != without}
    return Asked((1.5, 2.5), cut(hits, points, profile, similarities=True))


def test_each_hit_has_its_fate_and_its_reason() -> None:
    asked = ask(0.9, 0.35, None, 0.8, 0.1, without=5)
    assert [one.state for one in asked.hits] == ["in", "below_threshold", "below_threshold", "beyond_k", "beyond_k"]
    assert [one.rank for one in asked.hits] == [1, None, None, None, None]
    assert [explain(one, PROFILE) for one in asked.hits] == [
        "",
        "0.050 below 0.40",
        "without a vector it has no similarity",
        "beyond the first 3",
        "beyond the first 3 and 0.300 below 0.40, not on the map yet",
    ]


def test_single_precision_decides_as_in_the_database() -> None:
    # 0.43 as a real is above 0.43 as a double: what is printed as 0.43 reaches a threshold of 0.43.
    (one,) = ask(0.43, profile=RetrievalProfile(threshold=0.43)).hits
    assert one.state == "in"
    (one,) = ask(0.42999998, profile=RetrievalProfile(threshold=0.43)).hits
    assert (one.state, explain(one, RetrievalProfile(threshold=0.43))) == ("below_threshold", "a hair below 0.43")


@pytest.mark.parametrize(
    ("similarities", "words"),
    [
        ((0.9,), "1 passage comes back"),
        ((0.9, 0.3), "1 passage comes back · 1 of the first 2 is cut by the least similarity"),
        ((0.9, 0.8, 0.7, 0.6), "3 passages come back · others stand beyond 3"),
        ((0.1,), "0 passages come back · 1 of the first 1 is cut by the least similarity"),
    ],
)
def test_the_summary_counts(similarities: tuple[float, ...], words: str) -> None:
    assert summarise(ask(*similarities), PROFILE) == words


def test_what_has_no_point_is_counted_among_what_comes_back() -> None:
    assert off_map(ask(0.9, 0.8)) == ""
    assert off_map(ask(0.9, 0.8, without=2)).startswith("One of them is not on the map yet")
    assert off_map(ask(0.9, 0.1, without=2)) == ""


def test_the_list_escapes_and_draws_a_line_once() -> None:
    hits = [hit(1, 0.9, "<b>bold</b> & more"), hit(2, 0.9), hit(3, 0.9), hit(4, 0.9), hit(5, 0.9)]
    said = list_html(Asked(None, cut(hits, {}, PROFILE, similarities=True)), PROFILE, {2})
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in said
    assert said.count("the first 3 end here") == 1
    assert said.index("cs-cited") > said.index('data-chunk="2"')
    assert said.count("cs-cited") == 1
    assert "data-place" not in said


def test_marks_tell_ranks_cuts_and_citations() -> None:
    asked = ask(0.9, 0.35, 0.8, 0.7)
    cited = [
        CitedPlace(1, 3, "a.txt", Point(3, 30, 5, 0)),
        CitedPlace(2, 2, "a.txt", Point(2, 20, 5, 0)),
        CitedPlace(3, 99, "b.txt", Point(99, 990, 5, 0)),
        CitedPlace(4, None, "c.txt", None),
    ]
    assert question_marks(asked, cited, "Why?") == [
        Mark(40, 5, "cut", "4", 4),
        Mark(30, 5, "cited", "2", 3),
        Mark(20, 5, "cut", "", 2),
        Mark(10, 5, "hit", "1", 1),
        Mark(990, 5, "cut", "", 99),
        Mark(1.5, 2.5, "star", "Why?"),
    ]


def test_only_the_first_hits_beyond_k_are_drawn() -> None:
    marks = question_marks(ask(*[0.9] * 90), [], "Why?")
    assert len([mark for mark in marks if mark.kind == "cut"]) == MOST_BEYOND
    assert len([mark for mark in marks if mark.kind == "hit"]) == 3


def judged(number: int, place: int | None, rank: int | None, question: str = "Who?") -> JudgedAnswer:
    point = None if place is None else Point(place, place, 0, 0)
    return JudgedAnswer(number, number, question, DOCUMENT, "a.txt", 0, 9, rank, point)


def test_a_chunk_is_red_once_an_answer_in_it_was_missed() -> None:
    answers = [judged(1, 4, 1), judged(2, 4, None), judged(3, 5, 2), judged(4, 6, None), judged(5, None, None)]
    assert run_marks(answers, {"Who?": (7.0, 8.0)}) == [
        Mark(4, 0, "missed", "1 of 2", 4),
        Mark(5, 0, "found", "", 5),
        Mark(6, 0, "missed", "", 6),
        Mark(7.0, 8.0, "star", "Who?"),
    ]
    many = run_marks([], {f"Question {n}": (0.0, 0.0) for n in range(6)})
    assert {mark.text for mark in many} == {""}


def test_long_questions_are_cut_under_their_star() -> None:
    assert shorten("Why?") == "Why?"
    assert len(shorten("why " * 40)) <= 48
    assert shorten("why " * 40).endswith("…")
