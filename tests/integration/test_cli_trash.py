"""`corpuscope trash`, in this process on a database of the test's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli import make_parser
from rag.commands.cli_output import Output
from rag.corpus.collections import create_collection
from rag.corpus.documents import list_documents
from rag.curation.acts import trash_documents
from rag.errors import InvalidInput, NotFound
from rag.records import LOCAL_USER
from rag.settings import load_settings
from rag.store import bootstrap
from rag.store.database import Database, connect
from tests.integration.searchable import add_document

Run = Callable[..., Any]
OF = ("--collection", "Corpus")


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    """The JSON that a command prints; two documents of the local user's are in the trash."""
    with connect(database.owner_dsn) as conn:
        bootstrap.ensure_user(conn, LOCAL_USER, "local@example.org")
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(LOCAL_USER) as conn:
        corpus = create_collection(conn, "Corpus")
    made = [add_document(database, corpus, ["some words"], name=name)[0] for name in ("a.txt", "b.txt", "c.txt")]
    with database.as_user(LOCAL_USER) as conn:
        trash_documents(conn, corpus, made[:2])
    settings = load_settings(None).model_copy(
        update={"database_url": database.owner_dsn, "corpuscope_home": tmp_path, "corpuscope_workers": 0}
    )

    def command(*arguments: str, text: bool = False) -> Any:
        parsed = make_parser().parse_args(["trash", *arguments, *OF])
        stdout = io.StringIO()
        assert parsed.run(parsed, settings, Output(json=not text, stdout=stdout, stderr=io.StringIO())) == 0
        return stdout.getvalue() if text else json.loads(stdout.getvalue())

    return command


def test_the_trash_is_listed_restored_and_emptied(run: Run, database: Database) -> None:
    assert sorted(one["name"] for one in run()["trash"]) == ["a.txt", "b.txt"]
    assert "a.txt" in run(text=True)
    assert run("restore", "a.txt") == {"restored": 1}
    with pytest.raises(InvalidInput, match="1 deleted"):
        run("empty")
    assert run("empty", "--yes") == {"deleted": 1}
    assert "The trash is empty" in run(text=True)
    with database.as_user(LOCAL_USER) as conn:
        (row,) = conn.execute("select id from collections").fetchall()
        assert {one.name for one in list_documents(conn, row[0])} == {"a.txt", "c.txt"}


def test_what_is_not_there_is_said_so(run: Run) -> None:
    with pytest.raises(NotFound, match="not in the trash"):
        run("restore", "other.txt")
