"""The curation log: what was done to a collection, and taking it back. ``conn`` runs as the person who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import class_row

from rag.errors import InvalidInput, NotAllowed, NotFound

ActKind = Literal["exclude", "include", "tag", "untag", "trash", "move"]
KINDS: tuple[ActKind, ...] = ("exclude", "include", "tag", "untag", "trash", "move")

_COLUMNS = """
    select a.id, a.collection_id, a.kind, a.tag, a.target_id, a.target_name, a.note, a.passages, a.documents, a.names,
           a.created_by, a.created_at, a.undone_at, a.undone_by
    from public.curation_log a
"""


@dataclass(frozen=True, slots=True)
class Act:
    """One entry. ``passages`` and ``documents`` are what it changed when done; ``names`` some of the documents."""

    id: int
    collection_id: UUID
    kind: ActKind
    tag: str | None
    target_id: UUID | None
    target_name: str | None
    note: str
    passages: int
    documents: int
    names: list[str]
    created_by: UUID | None
    created_at: datetime
    undone_at: datetime | None
    undone_by: UUID | None

    @property
    def undone(self) -> bool:
        return self.undone_at is not None

    @property
    def words(self) -> str:
        """``Excluded 37 passages of 4 documents from search``: plain text."""
        size = f"{_count(self.passages, 'passage')} of {_count(self.documents, 'document')}"
        match self.kind:
            case "exclude":
                return f"Excluded {size} from search"
            case "include":
                return f"Included {size} in search again"
            case "tag":
                return f"Tagged {size} “{self.tag}”"
            case "untag":
                return f"Took “{self.tag}” off {size}"
            case "trash":
                return f"Put {_count(self.documents, 'document')} in the trash"
            case "move":
                return f"Moved {_count(self.documents, 'document')} to “{self.target_name}”"

    @property
    def undoing(self) -> str:
        """What undoing it does."""
        match self.kind:
            case "exclude":
                return "The passages can be found again, unless something else excludes them."
            case "include":
                return "The passages leave search again."
            case "tag":
                return "The tag goes where nothing else put it."
            case "untag":
                return "The tag comes back where it was."
            case "trash":
                return "The documents come back out of the trash with everything that was theirs."
            case "move":
                return "The documents come back with their old chunks, vectors and judgements."


def list_acts(
    conn: Connection[Any], collection_id: UUID, *, kinds: tuple[ActKind, ...] = (), limit: int = 200, offset: int = 0
) -> list[Act]:
    """The acts of a collection, newest first; none for those who aren't members of it."""
    with conn.cursor(row_factory=class_row(Act)) as cursor:
        return cursor.execute(
            _COLUMNS + " where a.collection_id = %s and (%s::text[] = '{}' or a.kind = any (%s))"
            " order by a.id desc limit %s offset %s",
            [collection_id, list(kinds), list(kinds), limit, offset],
        ).fetchall()


def read_act(conn: Connection[Any], act_id: int) -> Act:
    """One act; :class:`NotFound` for whoever may not see it."""
    with conn.cursor(row_factory=class_row(Act)) as cursor:
        found = cursor.execute(_COLUMNS + " where a.id = %s", [act_id]).fetchone()
    if found is None:
        raise NotFound("That act isn't in the log, or it isn't shared with you.")
    return found


def undo_act(conn: Connection[Any], act_id: int) -> Act:
    """Strike an act out: all is as if it had not been done, whatever was done since."""
    return _set(conn, act_id, "undo_act")


def redo_act(conn: Connection[Any], act_id: int) -> Act:
    """Do an undone act again, at its old place among the others."""
    return _set(conn, act_id, "redo_act")


def _set(conn: Connection[Any], act_id: int, function: str) -> Act:
    try:
        conn.execute(f"select public.{function}(%s)".encode(), [act_id])
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotAllowed(error.diag.message_primary, hint="Ask an owner for editing.") from error
    except psycopg.errors.RaiseException as error:
        raise InvalidInput(error.diag.message_primary, hint=error.diag.message_hint) from error
    return read_act(conn, act_id)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
