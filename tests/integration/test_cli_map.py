"""`corpuscope map`, in this process on a database of the test's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.cli import make_parser
from rag.commands.cli_output import Output
from rag.errors import InvalidInput
from rag.mapping.map_job import make_map
from rag.mapping.map_rows import begin_map, fail_map, note_progress
from rag.records import LOCAL_USER
from rag.settings import load_settings
from rag.store.database import Database
from tests.conftest import temporary_home
from tests.integration.mapped import Mapped, maker_in

Run = Callable[..., Any]
OF = ("--collection", "Corpus")


@pytest.fixture
def mapped(database: Database) -> Iterator[Mapped]:
    with temporary_home() as home, maker_in(home) as maker:
        yield Mapped(database, LOCAL_USER, maker)


@pytest.fixture
def run(mapped: Mapped, tmp_path: Path) -> Run:
    """(exit code, the JSON that a command prints); with ``text=True`` what people read."""
    settings = load_settings(None).model_copy(
        update={"database_url": mapped.database.owner_dsn, "corpuscope_home": tmp_path, "corpuscope_workers": 0}
    )

    def command(*arguments: str, text: bool = False) -> tuple[int, Any]:
        parsed = make_parser().parse_args(["map", *arguments, *OF])
        stdout = io.StringIO()
        code = parsed.run(parsed, settings, Output(json=not text, stdout=stdout, stderr=io.StringIO()))
        return code, stdout.getvalue() if text else json.loads(stdout.getvalue())

    return command


def test_a_map_is_asked_for_watched_and_deleted(mapped: Mapped, run: Run, database: Database) -> None:
    mapped.add(10, documents=4)
    assert run("list") == (0, {"maps": []})
    code, asked = run("make", "--neighbours", "5", "--min-dist", "0.3")
    assert (code, asked["state"], asked["neighbours"], asked["min_dist"]) == (0, "queued", 5, 0.3)
    number = asked["map"]
    assert "waits for a worker" in run("status", text=True)[1]
    with database.as_worker() as conn:
        begin_map(conn, number)
        note_progress(conn, number, "layout", 140, 300)
    assert run("status", text=True)[1].strip() == f"Map {number}, step 3 of 6: Laying out: 140 of 300"
    make_map(mapped.errand(), number)
    mapped.add(2)
    code, found = run("status", str(number))
    assert (code, found["state"], found["points"], found["new"]) == (0, "done", 40, 2)
    assert "40 points" in run("status", text=True)[1]
    assert "2 new chunks are not on it yet" in run("status", text=True)[1]
    [listed] = run("list")[1]["maps"]
    assert listed == found
    assert str(number) in run("list", text=True)[1]
    assert run("delete", str(number)) == (0, {"map": number, "state": "deleted"})
    assert run("list") == (0, {"maps": []})


def test_a_map_is_cancelled_or_fails(mapped: Mapped, run: Run, database: Database) -> None:
    mapped.add(10)
    number = str(run("make")[1]["map"])
    assert run("cancel", number)[1]["state"] == "cancelled"
    with pytest.raises(InvalidInput, match="isn't being made"):
        run("cancel", number)
    failing = run("make")[1]["map"]
    with database.as_worker() as conn:
        fail_map(conn, failing, "It was too much.", "Try less.")
    assert run("status", text=True) == (1, f"Map {failing}: failed. It was too much. Try less.\n")


def test_what_can_not_be_meant_is_refused_in_words(mapped: Mapped, run: Run) -> None:
    with pytest.raises(InvalidInput, match="nothing to draw"):
        run("make")
    with pytest.raises(InvalidInput, match="Which map"):
        run("delete")
    with pytest.raises(InvalidInput, match="no map 99"):
        run("status", "99")
    mapped.add(3)
    with pytest.raises(InvalidInput, match="2 to 200"):
        run("make", "--neighbours", "1")
