"""What everybody can do is what docs/permissions.md says, and everything there is was tried."""

from __future__ import annotations

import difflib
from typing import Any

from psycopg import Connection

from tests.permissions.attacks import HARMLESS, PRIVATE_ATTACKS, PUBLIC_ATTACKS
from tests.permissions.cast import Stage
from tests.permissions.catalogue import EXPOSED, functions, open_functions, tables
from tests.permissions.matrix import rows_of
from tests.permissions.report import DOCUMENT, render, replace_generated


def test_the_document_says_what_everybody_can_do(admin: Connection[Any], stage: Stage) -> None:
    said = DOCUMENT.read_text(encoding="utf-8")
    found = replace_generated(said, render(admin, stage))
    difference = "\n".join(
        difflib.unified_diff(said.splitlines(), found.splitlines(), "said", "found", n=0, lineterm="")
    )
    assert not difference, f"Judge each line; if it is meant: python -m tests.permissions\n{difference}"


def test_every_exposed_table_was_tried(admin: Connection[Any], stage: Stage) -> None:
    for table in tables(admin, EXPOSED):
        rows = [row for place in (stage.private, stage.public, None) for row in rows_of(admin, table, place)]
        assert rows, f"tests/permissions/cast.py leaves {table.title} empty, so the matrix proves nothing about it"


def test_every_private_table_has_a_row(admin: Connection[Any]) -> None:
    for table in tables(admin, ["corpuscope", "auth"]):
        assert rows_of(admin, table, None), f"tests/permissions/cast.py leaves {table.title} empty"


def test_every_function_was_tried(admin: Connection[Any]) -> None:
    assert set(functions(admin, "public").values()) <= set(PUBLIC_ATTACKS) | HARMLESS.keys()
    assert open_functions(admin, "corpuscope", "authenticated") <= set(PRIVATE_ATTACKS) | HARMLESS.keys()


def test_no_attack_is_on_something_that_is_gone(admin: Connection[Any]) -> None:
    known = {*functions(admin, "public").values(), *functions(admin, "corpuscope").values()}
    assert set(PUBLIC_ATTACKS) | set(PRIVATE_ATTACKS) | HARMLESS.keys() <= known
