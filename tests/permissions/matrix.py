"""What each part can really do with each row: tried statement by statement and undone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import Connection, sql

from tests.permissions.cast import CAST, Part, acting, take_part
from tests.permissions.catalogue import Table, all_columns, columns, place

Verb = Literal["select", "insert", "update", "delete"]
VERBS: tuple[Verb, ...] = ("select", "insert", "update", "delete")

#: No by the grants or the policies; no by a trigger that keeps a rule.
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException, psycopg.errors.CheckViolation)


@dataclass
class Cell:
    """How many of ``rows`` a part could read, add anew, change and delete."""

    rows: int
    done: dict[Verb, int] = field(default_factory=lambda: dict.fromkeys(VERBS, 0))

    def __str__(self) -> str:
        """S, I, U, D; small where it is true of some of the rows only."""
        letters = [
            verb[0].upper() if self.done[verb] == self.rows else verb[0] for verb in VERBS if self.done[verb] > 0
        ]
        return "".join(letters) or "–"


@dataclass(frozen=True)
class Row:
    at: str
    content: str


def rows_of(conn: Connection[Any], table: Table, collection: UUID | None) -> list[Row]:
    """The rows of the collection, or those of none."""
    statement = sql.SQL(
        "select t.ctid::text, row_to_json(t)::text from {} t where {} is not distinct from %s order by 1"
    )
    found = conn.execute(statement.format(table.identifier, place(conn, table)), [collection])
    return [Row(*row) for row in found]


def try_table(
    conn: Connection[Any], table: Table, collection: UUID | None, cast: Iterable[Part] = CAST
) -> dict[str, Cell] | None:
    """What each part of the cast can do with the rows; None if there are none to try it on."""
    rows = rows_of(conn, table, collection)
    if not rows:
        return None
    return {part.name: _try_part(conn, table, rows, part) for part in cast}


def _try_part(conn: Connection[Any], table: Table, rows: list[Row], part: Part) -> Cell:
    cell = Cell(len(rows))
    seen = _visible(conn, table, part)
    cell.done["select"] = sum(row.at in seen for row in rows)
    for row in rows:
        cell.done["insert"] += _try_insert(conn, table, row, part)
        cell.done["update"] += _try_update(conn, table, row, part)
        cell.done["delete"] += _try_delete(conn, table, row, part)
    return cell


def _visible(conn: Connection[Any], table: Table, part: Part) -> set[str]:
    try:
        with acting(conn, part):
            return {row[0] for row in conn.execute(sql.SQL("select ctid::text from {}").format(table.identifier))}
    except REFUSALS:
        return set()


def _try_insert(conn: Connection[Any], table: Table, row: Row, part: Part) -> bool:
    """Add the row again, after it was taken out without a trace, in the columns that the part may write."""
    names = columns(conn, table, part.role, "INSERT")
    if not names:
        return False
    listed = sql.SQL(", ").join(map(sql.Identifier, names))
    values = sql.SQL(", ").join(_value(name) for name in names)
    add = sql.SQL("insert into {t} ({names}) select {values} from json_populate_record(null::{t}, %(row)s) r")
    with conn.transaction(force_rollback=True):
        conn.execute("set local session_replication_role = replica")
        conn.execute(sql.SQL("delete from {} where ctid = %s::tid").format(table.identifier), [row.at])
        conn.execute("set local session_replication_role = origin")
        take_part(conn, part)
        statement = add.format(t=table.identifier, names=listed, values=values)
        return _count(conn, statement, {"row": row.content, "user": part.user}) == 1


def _value(name: str) -> sql.Composable:
    # Whose correction it is must be the truth, so nobody can add somebody else's.
    return sql.SQL("%(user)s::uuid") if name == "edited_by" else sql.SQL("r.{}").format(sql.Identifier(name))


def _try_update(conn: Connection[Any], table: Table, row: Row, part: Part) -> bool:
    """Write every column that the part may, with what stands in it."""
    names = columns(conn, table, part.role, "UPDATE")
    if not names:
        return False
    same = sql.SQL(", ").join(sql.SQL("{0} = {0}").format(sql.Identifier(name)) for name in names)
    statement = sql.SQL("update {} set {} where ctid = %s::tid").format(table.identifier, same)
    with acting(conn, part):
        return _count(conn, statement, [row.at]) == 1


def _try_delete(conn: Connection[Any], table: Table, row: Row, part: Part) -> bool:
    statement = sql.SQL("delete from {} where ctid = %s::tid").format(table.identifier)
    with acting(conn, part):
        return _count(conn, statement, [row.at]) == 1


def unseeing_statements(conn: Connection[Any], table: Table) -> Iterator[sql.Composed]:
    """Changes of all rows by statements that read nothing: policies on reading don't hold these back."""
    for name in all_columns(conn, table):
        row = conn.execute(
            sql.SQL("select {}::text from {} limit 1").format(sql.Identifier(name), table.identifier)
        ).fetchone()
        value = sql.Literal(row[0] if row else None)
        yield sql.SQL("update {} set {} = {}").format(table.identifier, sql.Identifier(name), value)
    yield sql.SQL("delete from {}").format(table.identifier)


def _count(conn: Connection[Any], statement: sql.Composed, values: Any = None) -> int:
    """Rows that a statement touched; 0 when it was refused."""
    try:
        with conn.transaction():
            return conn.execute(statement, values).rowcount
    except REFUSALS:
        return 0


def column_grants(conn: Connection[Any], table: Table) -> Iterator[tuple[str, str, list[str]]]:
    """Role, verb and columns, where a role may write some of the columns only."""
    everything = all_columns(conn, table)
    for role in dict.fromkeys(part.role for part in CAST):
        for verb in ("INSERT", "UPDATE"):
            names = columns(conn, table, role, verb)
            if names and names != everything:
                yield role, verb.lower(), names
