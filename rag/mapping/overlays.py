"""An evaluation run on the map: where the judged answers lie that it found, and those that it missed.

An answer is a judged span of a document, or the document where it is judged as a whole and no span of it is. It is
found when a passage that the run's profile returns overlaps it, whatever index that passage was of: so a run shows on
the map of any index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.errors import NotFound
from rag.evaluation.runs import Run, read_run
from rag.evaluation.scoring import RunHit, returned
from rag.mapping.asking import Point

_ANSWERS = """
    with judged as materialized (
        select j.id, j.question_id, j.document_id, j.start_char, j.end_char,
               bool_or(j.start_char is not null) over (partition by j.question_id, j.document_id) as by_span
        from public.evaluation_results e join public.judgements j on j.question_id = e.question_id
        where e.run_id = %(run)s and j.grade > 0
    )
    select j.id, j.question_id, j.document_id, d.name, j.start_char, j.end_char, p.place, p.x, p.y, p.leaf
    from judged j
    join public.documents d on d.id = j.document_id
    left join lateral (
        select m.place, m.x, m.y, m.leaf
        from public.chunks c join public.map_points m on m.map_id = %(map)s and m.chunk_id = c.id
        where c.index_id = %(index)s and c.document_id = j.document_id
          and c.start_char < j.end_char and c.end_char > j.start_char
        order by least(c.end_char, j.end_char) - greatest(c.start_char, j.start_char) desc, c.id limit 1
    ) p on true
    where j.start_char is not null or not j.by_span
    order by j.question_id, j.id
"""
#: Of each document the point that is nearest to the middle of all of its points.
_MIDDLES = """
    with middle as (
        select m.document_id, percentile_cont(0.5) within group (order by m.x) as x,
               percentile_cont(0.5) within group (order by m.y) as y
        from public.map_points m where m.map_id = %(map)s and m.document_id = any (%(documents)s) group by 1
    )
    select distinct on (m.document_id) m.document_id, m.place, m.x, m.y, m.leaf
    from middle c join public.map_points m on m.map_id = %(map)s and m.document_id = c.document_id
    order by m.document_id, (m.x - c.x) ^ 2 + (m.y - c.y) ^ 2, m.place
"""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One judged answer to one question of the run; ``start`` None is the whole document.

    ``rank`` is that of the first returned passage that overlaps it, None where the run missed it. ``point`` is the
    chunk of the map that holds most of it, of a whole document one in the middle; None where it is not on the map.
    """

    judgement_id: int
    question_id: int
    question: str
    document_id: UUID
    document: str
    start: int | None
    end: int | None
    rank: int | None
    point: Point | None

    @property
    def found(self) -> bool:
        """Whether the run returned it."""
        return self.rank is not None


@dataclass(frozen=True)
class Overlay:
    """All judged answers of a run by question; a question is missed when none of its answers was found."""

    run: Run
    answers: list[JudgedAnswer]

    @cached_property
    def by_question(self) -> dict[int, list[JudgedAnswer]]:
        """The answers of each question."""
        found: dict[int, list[JudgedAnswer]] = defaultdict(list)
        for answer in self.answers:
            found[answer.question_id].append(answer)
        return dict(found)

    @cached_property
    def missed_questions(self) -> dict[int, list[JudgedAnswer]]:
        """Those of which nothing was found."""
        return {
            question: answers
            for question, answers in self.by_question.items()
            if not any(answer.found for answer in answers)
        }

    @property
    def missed(self) -> list[JudgedAnswer]:
        """The answers that the run did not return."""
        return [answer for answer in self.answers if not answer.found]

    @property
    def off_map(self) -> list[JudgedAnswer]:
        """Answers without a chunk on the map: not placed yet, or of a document that has no text in this index."""
        return [answer for answer in self.answers if answer.point is None]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many judged answers lie in a cluster, and how many of them a run missed; None is outside of all clusters."""

    cluster: int | None
    missed: int
    total: int


def run_overlay(conn: Connection[Any], map_id: int, run_id: int) -> Overlay:
    """What the run found and missed, by today's judgements, at the points of the map.

    Raises :class:`NotFound` for a run or a map that is gone, is not shared with the person, or is of another collection
    than the other.
    """
    run = read_run(conn, run_id)
    row = conn.execute(
        "select index_id from public.maps where id = %s and collection_id = %s", [map_id, run.collection_id]
    ).fetchone()
    if row is None:
        raise NotFound("That map doesn't exist, or it is of another collection than the run.")
    texts, hits = _read_returned(conn, run)
    answers = []
    for judgement, question, document, name, start, end, *point in conn.execute(
        _ANSWERS, {"run": run_id, "map": map_id, "index": row[0]}
    ):
        rank = _rank_of(hits[question], str(document), start, end)
        found = Point(*point) if point[0] is not None else None
        answers.append(JudgedAnswer(judgement, question, texts[question], document, name, start, end, rank, found))
    return Overlay(run, _place_whole_documents(conn, map_id, answers))


def _read_returned(conn: Connection[Any], run: Run) -> tuple[dict[int, str], dict[int, list[RunHit]]]:
    """Each question of the run, and what its profile returned: of the hits that are kept only the first k are read."""
    profile = run.profile
    texts, hits = {}, {}
    for question, text, kept in conn.execute(
        "select e.question_id, q.text, jsonb_path_query_array(e.hits, '$[0 to $last]', jsonb_build_object('last', %s))"
        " from public.evaluation_results e join public.questions q on q.id = e.question_id where e.run_id = %s",
        [profile.k - 1, run.id],
    ):
        texts[question] = text
        hits[question] = returned([RunHit.from_json(hit) for hit in kept], profile.k, profile.threshold)
    return texts, hits


def _rank_of(hits: Sequence[RunHit], document: str, start: int | None, end: int | None) -> int | None:
    for rank, hit in enumerate(hits, 1):
        if hit.document == document and (start is None or end is None or (hit.start < end and hit.end > start)):
            return rank
    return None


def _place_whole_documents(conn: Connection[Any], map_id: int, answers: list[JudgedAnswer]) -> list[JudgedAnswer]:
    documents = {answer.document_id for answer in answers if answer.start is None}
    if not documents:
        return answers
    rows = conn.execute(_MIDDLES, {"map": map_id, "documents": list(documents)})
    middles = {row[0]: Point(*row[1:]) for row in rows}
    return [
        replace(answer, point=middles.get(answer.document_id)) if answer.start is None else answer for answer in answers
    ]


def count_coverage(answers: Sequence[JudgedAnswer], groups: Mapping[int, int]) -> list[Coverage]:
    """The answers on the map by cluster, the most missed first; ``groups`` is the cluster of each leaf."""
    counts: dict[int | None, list[int]] = defaultdict(lambda: [0, 0])
    for answer in answers:
        if answer.point is not None:
            count = counts[groups.get(answer.point.leaf)]
            count[0] += not answer.found
            count[1] += 1
    found = [Coverage(cluster, missed, total) for cluster, (missed, total) in counts.items()]
    return sorted(found, key=lambda one: (-one.missed, one.missed - one.total, one.cluster is None, one.cluster or 0))


def read_quotes(conn: Connection[Any], answers: Sequence[JudgedAnswer], most: int = 240) -> dict[int, str]:
    """The first characters of the judged words, by judgement; a whole document has none."""
    rows = conn.execute(
        """
        select j.id, substr(t.text, j.start_char + 1, least(j.end_char - j.start_char, %s))
        from public.judgements j
        join public.documents d on d.id = j.document_id
        join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
        where j.id = any (%s) and j.start_char is not null
        """,
        [most, [answer.judgement_id for answer in answers]],
    )
    return dict(rows.fetchall())
