"""What there is, read from the catalogue: so that nothing new goes untried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

_TABLES = """
    select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm') and c.relpersistence <> 't' and n.nspname = any (%s)
      and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    order by n.nspname <> 'public', 1, 2
"""
_COLUMNS = """
    select a.attname, has_column_privilege(%(role)s, a.attrelid, a.attnum, %(verb)s) from pg_attribute a
    where a.attrelid = %(table)s::regclass and a.attnum > 0 and not a.attisdropped
      and a.attgenerated = '' and a.attidentity = '' order by a.attnum
"""
_FUNCTIONS = """
    select p.oid::regprocedure::text, p.proname from pg_proc p
    where p.pronamespace = %s::regnamespace and p.prokind <> 'a' and p.prorettype <> 'trigger'::regtype
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by p.proname
"""

EXPOSED = ["public"]
#: Where rows lie that no person may reach by SQL.
PRIVATE = ["auth", "corpuscope", "pgmq"]


@dataclass(frozen=True, order=True)
class Table:
    schema: str
    name: str

    @property
    def title(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def tables(conn: Connection[Any], schemas: list[str]) -> list[Table]:
    return [Table(*row) for row in conn.execute(_TABLES, [schemas])]


def functions(conn: Connection[Any], schema: str) -> dict[str, str]:
    """The name of each function that isn't a trigger's, by its signature."""
    return {row[0]: row[1] for row in conn.execute(_FUNCTIONS, [schema])}


def open_functions(conn: Connection[Any], schema: str, role: str) -> set[str]:
    """Names of the functions that ``role`` may call."""
    rows = functions(conn, schema)
    may = conn.execute(
        "select s from unnest(%s::text[]) s"
        " where has_schema_privilege(%s, %s, 'usage') and has_function_privilege(%s, s, 'execute')",
        [list(rows), role, schema, role],
    )
    return {rows[row[0]] for row in may}


def columns(conn: Connection[Any], table: Table, role: str, verb: str) -> list[str]:
    """The columns that ``role`` may write with ``verb``, INSERT or UPDATE."""
    values = {"role": role, "verb": verb, "table": table.identifier.as_string(conn)}
    return [name for name, may in conn.execute(_COLUMNS, values) if may]


def all_columns(conn: Connection[Any], table: Table) -> list[str]:
    return columns(conn, table, "supabase_admin", "UPDATE")


def place(conn: Connection[Any], table: Table) -> sql.Composable:
    """An expression for the collection that a row ``t`` of the table belongs to; null for rows of none."""
    names = {
        row[0]
        for row in conn.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0",
            [table.identifier.as_string(conn)],
        )
    }
    if table.schema != "public":
        return sql.SQL("null::uuid")
    if table.name == "collections":
        return sql.SQL("t.id")
    for column, expression in _PLACES.items():
        if column in names:
            return sql.SQL(expression)
    return sql.SQL("null::uuid")


_PLACES = {
    "collection_id": "t.collection_id",
    "message_id": "(select h.collection_id from public.messages m join public.chats h on h.id = m.chat_id"
    " where m.id = t.message_id)",
    "chat_id": "(select h.collection_id from public.chats h where h.id = t.chat_id)",
    "document_id": "(select d.collection_id from public.documents d where d.id = t.document_id)",
    "run_id": "(select r.collection_id from public.evaluation_runs r where r.id = t.run_id)",
}


def fingerprint(conn: Connection[Any]) -> dict[str, str]:
    """A digest of every table, the private ones and the queues too."""
    found = {}
    for table in tables(conn, EXPOSED + PRIVATE):
        row = conn.execute(
            sql.SQL("select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {} t").format(
                table.identifier
            )
        ).fetchone()
        assert row is not None
        found[table.title] = row[0]
    return found
