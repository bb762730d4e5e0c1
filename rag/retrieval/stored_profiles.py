"""Profiles that a collection keeps: named, in versions, one its default. ``conn`` runs as the person who asks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotFound
from rag.retrieval.profiles import RetrievalProfile

MAX_NAME = 80

_COLUMNS = "id, name, version, settings, is_default, created_at, created_by"


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """One version of a named profile. It never changes; saving under its name makes the next version."""

    id: int
    name: str
    version: int
    profile: RetrievalProfile
    is_default: bool
    created_at: datetime
    created_by: UUID | None


class Change(NamedTuple):
    """One setting in which two profiles differ; ``words`` say so in a sentence without its full stop."""

    setting: str
    before: Any
    after: Any
    words: str


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    name: str
    version: int
    settings: dict[str, Any]
    is_default: bool
    created_at: datetime
    created_by: UUID | None


def list_profiles(conn: Connection[Any], collection_id: UUID) -> list[StoredProfile]:
    """The newest version of each profile, by name. The default may be an older one: see :func:`read_default`."""
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(
            f"select distinct on (name) {_COLUMNS} from public.retrieval_profiles where collection_id = %s"
            " order by name, version desc",
            [collection_id],
        ).fetchall()
    return [_stored(row) for row in rows]


def list_versions(conn: Connection[Any], collection_id: UUID, name: str) -> list[StoredProfile]:
    """Every version of that profile, the newest first; none for a name that the collection doesn't have."""
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        rows = cursor.execute(
            f"select {_COLUMNS} from public.retrieval_profiles where collection_id = %s and name = %s"
            " order by version desc",
            [collection_id, name],
        ).fetchall()
    return [_stored(row) for row in rows]


def read_profile(conn: Connection[Any], profile_id: int) -> StoredProfile:
    """That version of a profile; :class:`NotFound` if it is gone or not the caller's to see."""
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(f"select {_COLUMNS} from public.retrieval_profiles where id = %s", [profile_id]).fetchone()
    if row is None:
        raise NotFound("That profile doesn't exist any more, or it isn't shared with you.")
    return _stored(row)


def read_default(conn: Connection[Any], collection_id: UUID) -> StoredProfile | None:
    """What search, chat, evaluation and commands use when nothing else is said; None: ``RetrievalProfile()``."""
    with conn.cursor(row_factory=class_row(_Row)) as cursor:
        row = cursor.execute(
            f"select {_COLUMNS} from public.retrieval_profiles where collection_id = %s and is_default", [collection_id]
        ).fetchone()
    return None if row is None else _stored(row)


def load_profile(
    conn: Connection[Any], collection_id: UUID, name: str | None = None, version: int | None = None
) -> RetrievalProfile:
    """The newest version of that profile, or the one asked for; without a name the collection's default.

    Raises :class:`NotFound` for what the collection doesn't have.
    """
    if name is None:
        default = read_default(conn, collection_id)
        return RetrievalProfile() if default is None else default.profile
    versions = list_versions(conn, collection_id, name)
    if not versions:
        names = [stored.name for stored in list_profiles(conn, collection_id)]
        raise NotFound(
            f"This collection has no profile named {name!r}.",
            hint=f"It has: {', '.join(names)}." if names else "Save one in the search page first.",
        )
    for stored in versions:
        if version in (None, stored.version):
            return stored.profile
    raise NotFound(
        f"The profile {name!r} has no version {version}.", hint=f"Its versions are 1 to {versions[0].version}."
    )


def save_profile(
    conn: Connection[Any], collection_id: UUID, name: str, profile: RetrievalProfile, *, make_default: bool = False
) -> StoredProfile:
    """Store the profile as the next version under that name.

    The default stays the version that it was, unless ``make_default``: nobody's chat changes by a save.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput(f"The name of a profile has between 1 and {MAX_NAME} characters.")
    # Two who save at once get two versions.
    conn.execute("select pg_advisory_xact_lock(hashtext('corpuscope profile'), hashtext(%s))", [str(collection_id)])
    row = conn.execute(
        "insert into public.retrieval_profiles (collection_id, name, version, settings)"
        " select %(collection)s, %(name)s, coalesce(max(version), 0) + 1, %(settings)s"
        " from public.retrieval_profiles where collection_id = %(collection)s and name = %(name)s returning id",
        {"collection": collection_id, "name": name, "settings": Jsonb(profile.to_json())},
    ).fetchone()
    assert row is not None
    if make_default:
        conn.execute("select public.make_default_profile(%s)", [row[0]])
    return read_profile(conn, row[0])


def make_default(conn: Connection[Any], profile_id: int) -> StoredProfile:
    """Make that version the collection's default, which :func:`undo_default` takes back."""
    conn.execute("select public.make_default_profile(%s)", [profile_id])
    return read_profile(conn, profile_id)


def undo_default(conn: Connection[Any], collection_id: UUID) -> StoredProfile | None:
    """Make what was the default before the default again; None where that is ``RetrievalProfile()``.

    Raises :class:`InvalidInput` where no change is left to take back.
    """
    try:
        row = conn.execute("select public.undo_default_profile(%s)", [collection_id]).fetchone()
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary) from error
    return None if row is None or row[0] is None else read_profile(conn, row[0])


def delete_profile(conn: Connection[Any], collection_id: UUID, name: str) -> int:
    """Delete every version of that profile; how many there were. Runs keep the settings that they were made with.

    Raises :class:`InvalidInput` for the default's, :class:`NotFound` for a name that the collection doesn't have.
    """
    default = read_default(conn, collection_id)
    if default is not None and default.name == name:
        raise InvalidInput(
            f"The profile {name!r} is the default.", hint="Make another one the default first, or undo that it is one."
        )
    deleted = conn.execute(
        "delete from public.retrieval_profiles where collection_id = %s and name = %s", [collection_id, name]
    ).rowcount
    if not deleted:
        raise NotFound(f"This collection has no profile named {name!r} that you may delete.")
    return deleted


def describe_changes(before: RetrievalProfile, after: RetrievalProfile) -> list[Change]:
    """What differs, setting by setting, in plain words; nothing for equal profiles."""
    changes = []
    for field in fields(RetrievalProfile):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old != new:
            label = _LABELS[field.name]
            words = f"{label}: {_shown(field.name, new)}, before {_shown(field.name, old)}"
            changes.append(Change(field.name, old, new, words))
    return changes


_LABELS = {
    "mode": "Method",
    "k": "Passages (k)",
    "threshold": "Least similarity",
    "fusion": "Fusion",
    "dense_weight": "Weight of meaning against words",
    "rrf_k": "Constant of reciprocal rank fusion",
    "ef_search": "Reach of the vector index (ef_search)",
    "diversity": "Diversity",
    "rerank": "Reranker",
    "rerank_depth": "Passages that are reranked",
    "neighbours": "Neighbours read by the chat model",
}
_VALUES: dict[str, dict[Any, str]] = {
    "mode": {"dense": "meaning", "lexical": "words", "hybrid": "hybrid"},
    "fusion": {"convex": "weighted scores", "rrf": "reciprocal ranks"},
    "threshold": {None: "none"},
    "rerank": {None: "none"},
    "diversity": {0: "none"},
    "neighbours": {0: "none"},
}


def _shown(setting: str, value: Any) -> str:
    return _VALUES.get(setting, {}).get(value) or (f"{value:g}" if isinstance(value, float) else f"{value}")


def _stored(row: _Row) -> StoredProfile:
    profile = RetrievalProfile.from_json(row.settings)
    return StoredProfile(row.id, row.name, row.version, profile, row.is_default, row.created_at, row.created_by)
