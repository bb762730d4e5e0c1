"""The matrix as Markdown: what docs/permissions.md prints between its marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import Connection

from tests.permissions.attacks import (
    API_ATTACKS,
    HARMLESS,
    PRIVATE_ATTACKS,
    PUBLIC_ATTACKS,
    find_target,
    try_api,
    try_function,
)
from tests.permissions.cast import CAST, Stage
from tests.permissions.catalogue import EXPOSED, PRIVATE, functions, open_functions, tables
from tests.permissions.matrix import column_grants, try_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "permissions.md"
BEGIN, END = "<!-- begin: made by python -m tests.permissions -->", "<!-- end -->"

_NAMES = [part.name for part in CAST]


def render(conn: Connection[Any], stage: Stage) -> str:
    """Every table and function, tried. ``conn`` is a superuser's on a database that :func:`seed` filled."""
    values = find_target(conn, stage.private)
    parts = [
        "## Rows of a private collection",
        *_tables(conn, EXPOSED, stage.private),
        "## Rows of a public collection",
        *_tables(conn, EXPOSED, stage.public),
        "## Rows of no collection",
        *_tables(conn, EXPOSED + PRIVATE, None),
        "## Where only some columns may be written",
        *_grants(conn),
        "## Functions, called on what is Alice's",
        *_functions(conn, "public", PUBLIC_ATTACKS, values),
        "## The instant API, on what is Alice's",
        *_api(conn, values),
        "## Functions of the private schema that are open to people",
        *_functions(conn, "corpuscope", PRIVATE_ATTACKS, values),
        "## Functions of the private schema that are open to a part of the product only",
        *_helpers(conn),
    ]
    return "\n".join(parts) + "\n"


def replace_generated(document: str, generated: str) -> str:
    """The document with what stands between its marks replaced."""
    head, _, rest = document.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n\n{generated}\n{END}{tail}"


def _tables(conn: Connection[Any], schemas: list[str], collection: UUID | None) -> Iterator[str]:
    rows = []
    for table in tables(conn, schemas):
        cells = try_table(conn, table, collection)
        if cells is not None:
            rows.append([f"`{table.title}`", *(str(cells[name]) for name in _NAMES)])
    return _lines(["table", *_NAMES], rows)


def _grants(conn: Connection[Any]) -> Iterator[str]:
    rows = [
        [f"`{table.title}`", role, verb, ", ".join(f"`{name}`" for name in names)]
        for table in tables(conn, EXPOSED + PRIVATE)
        for role, verb, names in column_grants(conn, table)
    ]
    return _lines(["table", "role", "verb", "columns"], rows)


def _functions(conn: Connection[Any], schema: str, attacks: dict[str, str], values: Any) -> Iterator[str]:
    rows = []
    for name in sorted(set(functions(conn, schema).values())):
        if name in attacks:
            outcomes = try_function(conn, schema, name, values)
            rows.append([f"`{name}`", *(_WORDS[outcomes[part]] for part in _NAMES)])
        elif name in HARMLESS:
            may = [name in open_functions(conn, schema, part.role) for part in CAST]
            rows.append([f"`{name}`: {HARMLESS[name]}", *("open" if is_open else "–" for is_open in may)])
    return _lines(["function", *_NAMES], rows)


_WORDS = {"may not": "–", "refused": "refused", "nothing": "nothing", "works": "**works**"}


def _api(conn: Connection[Any], values: Any) -> Iterator[str]:
    rows = []
    for name, statement in API_ATTACKS.items():
        outcomes = try_api(conn, statement, values)
        rows.append([f"`{name}`", *(_WORDS[outcomes[part]] for part in _NAMES)])
    return _lines(["statement", *_NAMES], rows)


def _helpers(conn: Connection[Any]) -> Iterator[str]:
    roles = ("corpuscope_worker", "corpuscope_accounts", "service_role")
    may = {role: open_functions(conn, "corpuscope", role) for role in roles}
    names = set().union(*may.values()) - set(PRIVATE_ATTACKS) - set(HARMLESS)
    rows = [[f"`{name}`", *("open" if name in may[role] else "–" for role in roles)] for name in sorted(names)]
    return _lines(["function", *roles], rows)


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""
