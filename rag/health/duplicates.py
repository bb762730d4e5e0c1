"""Near-duplicate passages of a check as they are now: without what is excluded, deleted or kept by somebody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection

from rag.health.duplicate_groups import covered, find_stars


class Member(NamedTuple):
    """A passage that resembles another one; a span like :class:`rag.curation.selecting.Span`.

    ``score`` is the Jaccard index of its three-word phrases with those of the group's middle; 1 for the same ones.
    """

    chunk_id: int
    document_id: UUID
    start: int
    end: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """Passages that each resemble the first one, which is the one that is kept unless somebody chooses otherwise."""

    members: tuple[Member, ...]

    @property
    def key(self) -> int:
        """What it is called: the first passage's number."""
        return self.members[0].chunk_id

    @property
    def least(self) -> float:
        """The lowest score in it."""
        return min(member.score for member in self.members)

    @property
    def documents(self) -> int:
        """Documents that its passages are in."""
        return len({member.document_id for member in self.members})


@dataclass(frozen=True, slots=True)
class Duplicates:
    """All that the slider needs: groups at any threshold from the check's floor on follow without asking again."""

    members: Mapping[int, Sequence[Member]]
    pairs: Sequence[tuple[int, int, float]]
    kept: Mapping[int, frozenset[int]]

    def groups(self, threshold: float) -> list[Group]:
        """The largest first. What one decision to keep covers is left out."""
        copies = {shape: len(found) for shape, found in self.members.items()}
        groups: list[Group] = []
        for star in find_stars(copies, self.pairs, threshold):
            found = [*self.members[star.centre]]
            for shape, score in star.others:
                found += [member._replace(score=score) for member in self.members[shape]]
            if not covered([member.chunk_id for member in found], self.kept):
                groups.append(Group(tuple(found)))
        return sorted(groups, key=lambda group: (-len(group.members), group.key))


def read_duplicates(conn: Connection[Any], check_id: int) -> Duplicates:
    """The passages that resemble others, and how much."""
    members: dict[int, list[Member]] = defaultdict(list)
    rows = conn.execute(
        """
        select m.shape, c.id, c.document_id, c.start_char, c.end_char
        from public.health_members m
        join public.chunks c on c.id = m.chunk_id
        join public.documents d on d.id = c.document_id
        where m.check_id = %s and not c.excluded order by d.created_at, c.document_id, c.ordinal, c.id
        """,
        [check_id],
    )
    for shape, *span in rows:
        members[shape].append(Member(*span))
    pairs = conn.execute(
        "select shape_a, shape_b, score from public.health_pairs where check_id = %s", [check_id]
    ).fetchall()
    return Duplicates(dict(members), pairs, _read_kept(conn, check_id))


def _read_kept(conn: Connection[Any], check_id: int) -> dict[int, frozenset[int]]:
    """Chunk → the decisions to keep that are about at least half of it."""
    rows = conn.execute(
        """
        select m.chunk_id, array_agg(distinct s.kept_id)
        from public.health_checks h
        join public.health_kept k on k.collection_id = h.collection_id and k.finding = 'duplicates'
        join public.health_kept_spans s on s.kept_id = k.id
        join public.chunks c on c.index_id = h.index_id and c.document_id = s.document_id
            and 2 * (least(c.end_char, s.end_char) - greatest(c.start_char, s.start_char)) >= c.end_char - c.start_char
        join public.health_members m on m.check_id = h.id and m.chunk_id = c.id
        where h.id = %s group by 1
        """,
        [check_id],
    )
    return {chunk: frozenset(kept) for chunk, kept in rows}
