"""The other lists of a check as they are now: without what is excluded, deleted, or kept by somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.health.kept_findings import Stretch

#: Lists of passages that a value puts in order; ``language`` has a code instead.
PassageFinding = Literal["outlier", "short", "long", "language"]
PASSAGE_FINDINGS: tuple[PassageFinding, ...] = get_args(PassageFinding)
#: Characters of a repeated text that are shown.
_SHOWN = 600

_LIVE = """
    from public.health_findings f
    join public.chunks c on c.id = f.chunk_id and not c.excluded
    join public.documents d on d.id = c.document_id
    where f.check_id = %(check)s and f.chunk_id is not null and not exists (
        select from public.health_kept k join public.health_kept_spans s on s.kept_id = k.id
        where k.collection_id = c.collection_id and k.finding = f.finding and s.document_id = c.document_id
          and 2 * (least(c.end_char, s.end_char) - greatest(c.start_char, s.start_char)) >= c.end_char - c.start_char
    )
"""
_LIVE_DOCUMENTS = """
    from public.health_findings f
    join public.documents d on d.id = f.document_id
    where f.check_id = %(check)s and f.finding = 'unretrieved' and not exists (
        select from public.health_kept k join public.health_kept_spans s on s.kept_id = k.id
        where k.collection_id = d.collection_id and k.finding = 'unretrieved' and s.document_id = d.id
    ) and exists (
        select from public.health_checks h join public.chunks c on c.index_id = h.index_id and c.document_id = d.id
        where h.id = f.check_id and not c.excluded
    )
"""
_LIVE_REPEATS = """
    with places as materialized (
        select r.repeat, r.document_id, r.start_char, r.end_char, exists (
            select from public.health_kept k join public.health_kept_spans s on s.kept_id = k.id
            where k.collection_id = r.collection_id and k.finding = 'repeat' and s.document_id = r.document_id
              and s.start_char <= r.start_char and s.end_char >= r.end_char
        ) as kept
        from public.health_repeats r
        join public.documents d on d.id = r.document_id and d.text_revision = r.text_revision
        where r.check_id = %(check)s and not exists (
            select from public.span_marks m
            where m.document_id = r.document_id and m.kind = 'exclusion'
              and m.start_char <= r.start_char and m.end_char >= r.end_char
        )
    ), live as (
        select repeat as number, count(distinct document_id)::int as documents, count(*)::int as times,
               sum(end_char - start_char)::bigint as characters
        from places group by 1 having count(distinct document_id) >= 2 and not bool_and(kept)
    )
"""
_REPEATS = (
    _LIVE_REPEATS
    + """
    , shown as materialized (select * from live order by characters desc, number limit %(limit)s)
    select s.number, s.documents, s.times, s.characters, coalesce(o.passages, 0)::int as passages, t.text
    from shown s
    cross join lateral (
        select substr(x.text, p.start_char + 1, least(p.end_char - p.start_char, %(shown)s)) as text
        from places p
        join public.documents d on d.id = p.document_id
        join public.document_texts x on x.document_id = d.id and x.revision = d.text_revision
        where p.repeat = s.number order by p.document_id, p.start_char limit 1
    ) t
    left join lateral (
        select count(*) as passages from (
            select c.id from places p
            join public.health_checks h on h.id = %(check)s
            join public.chunks c on c.index_id = h.index_id and c.document_id = p.document_id and not c.excluded
                and c.start_char < p.end_char and c.end_char > p.start_char
            where p.repeat = s.number group by c.id, c.start_char, c.end_char
            having 2 * sum(least(c.end_char, p.end_char) - greatest(c.start_char, p.start_char))
                >= c.end_char - c.start_char
        ) u
    ) o on true
    order by s.characters desc, s.number
"""
)


class Passage(NamedTuple):
    """A passage of a list. ``value`` and ``note`` as in the table of findings."""

    chunk_id: int
    document_id: UUID
    start: int
    end: int
    document: str
    page: int | None
    text: str
    value: float
    note: str | None


class LostDocument(NamedTuple):
    """A document that no question was answered with; ``best_rank`` of its passages, None for none at all."""

    document_id: UUID
    document: str
    characters: int
    best_rank: int | None


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """A text that documents repeat. ``passages`` are the chunks that drop out of search once it is excluded."""

    number: int
    documents: int
    times: int
    characters: int
    passages: int
    text: str


class RepeatedSpan(NamedTuple):
    """One place of a repeated text."""

    document_id: UUID
    start: int
    end: int


def count_findings(conn: Connection[Any], check_id: int) -> dict[str, int]:
    """How many there are in each list; of the duplicates, :class:`rag.health.duplicates.Duplicates` knows."""
    values = {"check": check_id}
    found: dict[str, int] = dict.fromkeys((*PASSAGE_FINDINGS, "unretrieved", "repeat"), 0)
    found.update(conn.execute("select f.finding, count(*)::int" + _LIVE + "group by 1", values).fetchall())
    lost = conn.execute("select count(*)::int" + _LIVE_DOCUMENTS, values).fetchone()
    repeats = conn.execute(_LIVE_REPEATS + "select count(*)::int from live", values).fetchone()
    assert lost is not None
    assert repeats is not None
    found["unretrieved"], found["repeat"] = lost[0], repeats[0]
    return found


def list_passages(conn: Connection[Any], check_id: int, finding: PassageFinding, limit: int = 200) -> list[Passage]:
    """Passages that stand out by ``finding``, those that do so most first."""
    rows = conn.execute(
        "select c.id, c.document_id, c.start_char, c.end_char, coalesce(d.title, d.name), c.page, c.text,"
        " f.value, f.note" + _LIVE + "and f.finding = %(finding)s"
        " order by case f.finding when 'short' then f.value else -f.value end, f.note, d.created_at, c.ordinal"
        " limit %(limit)s",
        {"check": check_id, "finding": finding, "limit": limit},
    )
    return [Passage(*row) for row in rows]


def list_lost(conn: Connection[Any], check_id: int, limit: int = 500) -> list[LostDocument]:
    """Documents that no judged question was answered with, those nobody came near first."""
    rows = conn.execute(
        "select d.id, coalesce(d.title, d.name), coalesce(d.char_count, 0), f.value::int"
        + _LIVE_DOCUMENTS
        + "order by f.value desc nulls first, d.created_at, d.id limit %(limit)s",
        {"check": check_id, "limit": limit},
    )
    return [LostDocument(*row) for row in rows]


def list_repeats(conn: Connection[Any], check_id: int, limit: int = 50) -> list[RepeatedText]:
    """Texts that documents repeat, most characters first."""
    with conn.cursor(row_factory=class_row(RepeatedText)) as cursor:
        return cursor.execute(_REPEATS, {"check": check_id, "limit": limit, "shown": _SHOWN}).fetchall()


def repeated_spans(conn: Connection[Any], check_id: int, number: int) -> list[RepeatedSpan]:
    """Every place of a repeated text that is not excluded yet."""
    rows = conn.execute(
        _LIVE_REPEATS + "select document_id, start_char, end_char from places where repeat = %(number)s order by 1, 2",
        {"check": check_id, "number": number},
    )
    return [RepeatedSpan(*row) for row in rows]


def read_passages(conn: Connection[Any], chunk_ids: Sequence[int]) -> dict[int, Passage]:
    """Passages by their numbers, with their texts and the names of their files: copies often have the same title."""
    rows = conn.execute(
        "select c.id, c.document_id, c.start_char, c.end_char, d.name, c.page, c.text,"
        " 0::float8, null::text"
        " from public.chunks c join public.documents d on d.id = c.document_id where c.id = any (%s)",
        [list(chunk_ids)],
    )
    return {row[0]: Passage(*row) for row in rows}


def read_tags(conn: Connection[Any], spans: Sequence[Stretch]) -> list[str]:
    """Tags on any of these stretches, each once."""
    rows = conn.execute(
        "select distinct m.tag from unnest(%s::uuid[], %s::int[], %s::int[]) as u (id, s, e)"
        " join public.span_marks m on m.document_id = u.id and m.kind = 'tag'"
        " and m.start_char < u.e and m.end_char > u.s"
        " order by 1",
        [[span.document_id for span in spans], [span.start for span in spans], [span.end for span in spans]],
    )
    return [row[0] for row in rows]
