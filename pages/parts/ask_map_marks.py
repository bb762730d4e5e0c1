"""What a question and an evaluation run put on the map: a star, ranked hits, hollow and ringed ones, and misses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pages.parts.map_view import Mark
from rag.mapping.asking import Asked, MapHit
from rag.mapping.cited_places import CitedPlace
from rag.mapping.overlays import JudgedAnswer

#: Hits beyond k that are shown, on the map and in the list.
MOST_BEYOND = 20
#: Stars that have their words, and so many letters of these.
_MOST_NAMED = 5
_MOST_LETTERS = 48


def shown_hits(asked: Asked) -> list[MapHit]:
    """All within k, and the first ones beyond."""
    beyond = [hit for hit in asked.hits if hit.state == "beyond_k"]
    return [hit for hit in asked.hits if hit.state != "beyond_k"] + beyond[:MOST_BEYOND]


def question_marks(asked: Asked, cited: Sequence[CitedPlace], question: str) -> list[Mark]:
    """Hits with their rank, ringed where the answer cites them; hollow what is cut off, with its number; the star.

    A cited passage that the search doesn't find any more is hollow and has no number.
    """
    # The best one last: where marks lie on one another, the later one is on top.
    marks = [_hit_mark(hit, cited) for hit in reversed(shown_hits(asked)) if hit.point is not None]
    known = {mark.place for mark in marks}
    marks += [
        Mark(one.point.x, one.point.y, "cut", "", one.point.place)
        for one in cited
        if one.point is not None and one.point.place not in known
    ]
    if asked.star is not None:
        marks.append(Mark(*asked.star, "star", shorten(question)))
    return marks


def number_of(hit: MapHit) -> str:
    """The rank of what comes back, and beyond k the place in the order.

    None for what the threshold cuts: ranks close the gap that it leaves, so its place is the rank of another.
    """
    if hit.state == "below_threshold":
        return ""
    return str(hit.rank or hit.position)


def _hit_mark(hit: MapHit, cited: Sequence[CitedPlace]) -> Mark:
    assert hit.point is not None
    if hit.state != "in":
        return Mark(hit.point.x, hit.point.y, "cut", number_of(hit), hit.point.place)
    ringed = any(one.chunk_id == hit.hit.chunk_id for one in cited)
    return Mark(hit.point.x, hit.point.y, "cited" if ringed else "hit", number_of(hit), hit.point.place)


def run_marks(answers: Sequence[JudgedAnswer], stars: Mapping[str, tuple[float, float]]) -> list[Mark]:
    """A mark for each chunk that holds judged answers: red once one of them was missed; and questions as stars."""
    by_place: dict[int, list[JudgedAnswer]] = defaultdict(list)
    for answer in answers:
        if answer.point is not None:
            by_place[answer.point.place].append(answer)
    marks = [_answer_mark(of_it) for of_it in by_place.values()]
    words = shorten if len(stars) <= _MOST_NAMED else lambda _: ""
    return marks + [Mark(x, y, "star", words(question)) for question, (x, y) in stars.items()]


def _answer_mark(answers: Sequence[JudgedAnswer]) -> Mark:
    """Several answers in one chunk say how many of them were missed."""
    point = answers[0].point
    assert point is not None
    missed = sum(not answer.found for answer in answers)
    words = f"{missed} of {len(answers)}" if missed and len(answers) > 1 else ""
    return Mark(point.x, point.y, "missed" if missed else "found", words, point.place)


def shorten(question: str) -> str:
    """So much of a question as has room under a star."""
    return question if len(question) <= _MOST_LETTERS else f"{question[: _MOST_LETTERS - 1].rstrip()}…"
