"""What a question and an evaluation run put on the map: a star, ranked hits, hollow and ringed ones, and misses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pages.parts.map_view import Mark
from pages.parts.words import count
from rag.mapping.asking import Asked, MapHit
from rag.mapping.cited_places import CitedPlace
from rag.mapping.overlays import JudgedAnswer

#: Hits beyond k that are shown, on the map and in the list.
MOST_BEYOND = 20


def shown_hits(asked: Asked) -> list[MapHit]:
    """All within k, and the first ones beyond."""
    beyond = [hit for hit in asked.hits if hit.state == "beyond_k"]
    return [hit for hit in asked.hits if hit.state != "beyond_k"] + beyond[:MOST_BEYOND]


def question_marks(asked: Asked, cited: Sequence[CitedPlace], question: str) -> list[Mark]:
    """The later ones are drawn above the earlier: what is cut off, what comes back, what is cited, the question."""
    on_map = [hit for hit in shown_hits(asked) if hit.point is not None]
    marks = [_hit_mark(hit) for hit in reversed(on_map) if hit.state != "in"]
    marks += [_hit_mark(hit) for hit in reversed(on_map) if hit.state == "in"]
    marks += [Mark(one.point.x, one.point.y, "cited", f"[{one.number}]", one.point.place) for one in cited if one.point]
    if asked.star is not None:
        marks.append(Mark(*asked.star, "star", question))
    return marks


def _hit_mark(hit: MapHit) -> Mark:
    assert hit.point is not None
    if hit.state == "in":
        return Mark(hit.point.x, hit.point.y, "hit", str(hit.rank), hit.point.place)
    return Mark(hit.point.x, hit.point.y, "cut", str(hit.position), hit.point.place)


def run_marks(answers: Sequence[JudgedAnswer], stars: Mapping[str, tuple[float, float]]) -> list[Mark]:
    """A mark for each chunk that holds judged answers: red once one of them was missed. Misses are drawn last."""
    by_place: dict[int, list[JudgedAnswer]] = defaultdict(list)
    for answer in answers:
        if answer.point is not None:
            by_place[answer.point.place].append(answer)
    marks = [_answer_mark(of_it) for of_it in by_place.values()]
    marks.sort(key=lambda mark: mark.kind == "missed")
    return marks + [Mark(x, y, "star", question) for question, (x, y) in stars.items()]


def _answer_mark(answers: Sequence[JudgedAnswer]) -> Mark:
    point = answers[0].point
    assert point is not None
    missed = [answer for answer in answers if not answer.found]
    words = answers[0].question if len(answers) == 1 else f"{len(missed)} of {count(len(answers), 'answer')} missed"
    return Mark(point.x, point.y, "missed" if missed else "found", words, point.place)
