"""What the Search lab reads once a run of the page, so that a slider moves without it: profiles, indexes, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg

from pages.parts.lab_address import Side, View
from pages.parts.session import connect
from rag.corpus.baselines import Baseline, read_baseline
from rag.corpus.documents import list_documents
from rag.corpus.indexes import IndexRow, SearchedIndex, list_indexes, read_searched_index
from rag.corpus.progress import Progress, read_progress
from rag.errors import NotFound
from rag.records import Collection, DocumentRow
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.scopes import Scope, read_scope, scope_names
from rag.retrieval.stored_profiles import StoredProfile, list_profiles, list_versions, read_default

#: What a collection has before anybody saved a profile.
BUILT_IN = RetrievalProfile()
#: Profiles beyond these names have only their newest version on offer.
_MOST_NAMES = 20


@dataclass(frozen=True)
class Desk:
    """All of it.

    ``stored`` has every version, by name and then the newest first; ``documents`` empty means all; ``index`` is the one
    that is searched, ``active`` the one that everybody else searches; ``scope`` is the selection that is searched, None
    for everything, and ``scopes`` the names of those that are saved.
    """

    collection: Collection
    progress: Progress
    rows: Sequence[DocumentRow]
    documents: tuple[UUID, ...]
    stored: Sequence[StoredProfile]
    default: StoredProfile | None
    indexes: Sequence[IndexRow]
    index: SearchedIndex | None
    active: SearchedIndex | None
    baseline: Baseline | None
    scope: Scope | None
    scopes: Mapping[int, str]

    @property
    def may_edit(self) -> bool:
        """Whether the person may save profiles and judge."""
        return self.collection.role in ("editor", "owner")

    def find(self, side: Side | None) -> StoredProfile | None:
        """The saved profile that a side names, or the default where it names none; None is :data:`BUILT_IN`."""
        if side is None or side.profile is None:
            return self.default
        named = [one for one in self.stored if one.name == side.profile]
        return next((one for one in named if side.version in (None, one.version)), None)

    def settings_of(self, side: Side) -> RetrievalProfile:
        """The settings that a side comes to."""
        base = self.find(side)
        return side.apply(base.profile if base else BUILT_IN)

    def languages(self) -> dict[UUID, str | None]:
        """The language of each document, for marks."""
        return {row.id: row.language for row in self.rows}


def open_desk(collection: Collection, view: View) -> tuple[Desk, View, list[str]]:
    """Read it all in one transaction; the view without what nobody has, and a sentence for each such thing."""
    problems: list[str] = []
    with connect() as conn:
        rows = list_documents(conn, collection.id)
        indexes = [one for one in list_indexes(conn, collection.id) if one.state != "retired" and one.embedded]
        stored, default = _read_profiles(conn, collection.id), read_default(conn, collection.id)
        documents = _existing(view.documents, rows, problems)
        side = _existing_side(view.side, stored, indexes, problems)
        other = _existing_side(view.other, stored, indexes, problems) if view.other else None
        progress, active = read_progress(conn, collection.id), _find_index(conn, collection.id, None)
        index = active if side.index is None else _find_index(conn, collection.id, side.index)
        baseline = read_baseline(conn, collection.id, side.index)
        scope, scopes = _existing_scope(conn, collection.id, view.scope, problems), scope_names(conn, collection.id)
    desk = Desk(collection, progress, rows, documents, stored, default, indexes, index, active, baseline, scope, scopes)
    return desk, View(view.question, side, other, documents, scope.id if scope else None), problems


def find_index(desk: Desk, index_id: int | None) -> SearchedIndex | None:
    """The index that is named, None the active one; for the other side of a comparison."""
    with connect() as conn:
        return _find_index(conn, desk.collection.id, index_id)


def _read_profiles(conn: psycopg.Connection[Any], collection_id: UUID) -> list[StoredProfile]:
    newest = list_profiles(conn, collection_id)
    if len(newest) > _MOST_NAMES:
        return newest
    return [one for name in newest for one in ([name] if name.version == 1 else _versions(conn, collection_id, name))]


def _versions(conn: psycopg.Connection[Any], collection_id: UUID, newest: StoredProfile) -> list[StoredProfile]:
    return list_versions(conn, collection_id, newest.name)


def _find_index(conn: psycopg.Connection[Any], collection_id: UUID, index_id: int | None) -> SearchedIndex | None:
    try:
        return read_searched_index(conn, collection_id, index_id)
    except NotFound:
        return None


def _existing_side(
    side: Side, stored: Sequence[StoredProfile], indexes: Sequence[IndexRow], problems: list[str]
) -> Side:
    named = [one for one in stored if one.name == side.profile and side.version in (None, one.version)]
    if side.profile is not None and not named:
        version = f" in version {side.version}" if side.version else ""
        problems.append(f"This collection has no profile named {side.profile!r}{version}; the default is shown.")
        side = replace(side, profile=None, version=None)
    if side.index is not None and side.index not in {one.id for one in indexes}:
        problems.append(f"This collection has no index {side.index} (any more); the active one is searched.")
        side = replace(side, index=None)
    return side


def _existing_scope(
    conn: psycopg.Connection[Any], collection_id: UUID, wanted: int | None, problems: list[str]
) -> Scope | None:
    if wanted is None:
        return None
    try:
        found = read_scope(conn, wanted)
    except NotFound:
        found = None
    if found is None or found.collection_id != collection_id:
        problems.append("The selection that the address names is gone, or it isn't shared with you; all is searched.")
        return None
    return found


def _existing(wanted: Sequence[UUID], rows: Sequence[DocumentRow], problems: list[str]) -> tuple[UUID, ...]:
    known = {row.id for row in rows}
    kept = tuple(document for document in wanted if document in known)
    if len(kept) < len(wanted):
        rest = "the others are searched" if kept else "all are searched"
        problems.append(f"Some of the documents that the address names are not in this collection; {rest}.")
    return kept
