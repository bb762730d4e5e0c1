"""No statement is made of what people type: SQL is constants with parameters, so nobody can send SQL of their own.

Policies hold against statements and functions; whoever could run free SQL on the app's connection could change the
claims (docs/permissions.md). This is what keeps it out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Judged one by one: what is put in are constants of the same file, or SQL that comes with the product.
JUDGED = {
    ("rag/auth/people.py", "f'select {_COLUMNS} from corpuscope.people where {condition}'.encode()"),
    ("rag/auth/people.py", "query.encode()"),
    ("rag/auth/sessions.py", "(_LOOK + condition).encode()"),
    ("rag/chat/chats.py", "_MESSAGES + condition"),
    ("rag/chat/chats.py", "statement"),
    ("rag/chat/watching.py", "f'select {checks}'.encode()"),
    ("rag/corpus/documents.py", "f'select public.{function}(%s)'"),
    (
        "rag/corpus/documents.py",
        "f\"{_SELECT} where {' and '.join(conditions)} order by d.created_at desc, d.name limit %(limit)s\"",
    ),
    ("rag/corpus/indexes.py", "f'select public.{call}'"),
    ("rag/curation/acts.py", "statement.encode()"),
    ("rag/curation/curation_log.py", "f'select public.{function}(%s)'.encode()"),
    ("rag/curation/selecting.py", "(f'with chosen as materialized ({chosen})' + _SPANS).encode()"),
    ("rag/curation/selecting.py", "(f'with chosen as materialized ({chosen})' + _COUNTS).encode()"),
    (
        "rag/curation/selecting.py",
        "(f'with chosen as materialized ({chosen})' + ' select array_agg(place) from chosen').encode()",
    ),
    ("rag/curation/trash.py", "statement.encode()"),
    ("rag/retrieval/scopes.py", "statement.encode()"),
    ("rag/store/bootstrap.py", "_script().encode()"),
    ("rag/store/bootstrap.py", "get_embedded_install_sql().encode()"),
    ("rag/store/default_grants.py", "sql.SQL('alter default privileges in schema public ') + change"),
    ("rag/store/migrations.py", "f'set role {row[0]}'.encode()"),
    ("rag/store/migrations.py", "query.encode()"),
    ("rag/store/migrations.py", "statement.encode()"),
    ("rag/work/modelnotes.py", "f'{noted} where (provider, name) = (%s, %s)'"),
    ("rag/work/modelnotes.py", "known"),
}


def is_constant(node: ast.expr) -> bool:
    """A literal, a CONSTANT, or these put together; or psycopg's own composition, which quotes what is put in."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.strip("_").isupper()
        case ast.JoinedStr(values=parts):
            return all(is_constant(part.value if isinstance(part, ast.FormattedValue) else part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return is_constant(left) and is_constant(right)
        case ast.IfExp(body=body, orelse=orelse):
            return is_constant(body) and is_constant(orelse)
        case ast.Call(func=ast.Attribute(value=value, attr="encode")):
            return is_constant(value)
        case ast.Call(func=ast.Attribute(value=value, attr="format")):
            return is_constant(value) and not isinstance(value, ast.Constant)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="sql"), attr="SQL"), args=[text]):
            return is_constant(text)
    return False


def statements(source: str) -> Iterator[ast.expr]:
    """What is handed to a connection or cursor to be run."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="execute" | "executemany" | "copy"), args=[first, *_]):
                yield first


def found() -> set[tuple[str, str]]:
    files = [path for folder in ("rag", "pages") for path in (ROOT / folder).rglob("*.py")]
    return {
        (path.relative_to(ROOT).as_posix(), ast.unparse(statement))
        for path in files
        for statement in statements(path.read_text(encoding="utf-8"))
        if not is_constant(statement)
    }


def test_statements_are_constants() -> None:
    assert found() - JUDGED == set(), "judge each: may what is put in come from a person? Then pass it as a parameter"


def test_nothing_is_judged_that_is_gone() -> None:
    assert JUDGED - found() == set()


@pytest.mark.parametrize(
    ("source", "constant"),
    [
        ("conn.execute('select 1')", True),
        ("conn.execute(_SELECT + 'where id = %s', [id])", True),
        ("conn.execute(sql.SQL('select {}').format(sql.Identifier(name)))", True),
        ("conn.execute(f'select {name}')", False),
        ("conn.execute('select ' + name)", False),
        ("conn.execute('select {}'.format(name))", False),
        ("conn.execute(('select ' + name).encode())", False),
        ("conn.execute(sql.SQL('select ' + name))", False),
        ("conn.execute(query)", False),
    ],
)
def test_the_check_itself(source: str, constant: bool) -> None:
    assert [is_constant(statement) for statement in statements(source)] == [constant]
