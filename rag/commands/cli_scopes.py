"""`corpuscope scopes`: the saved selections of a collection."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import open_session
from rag.corpus.collections import find_collection
from rag.errors import InvalidInput
from rag.retrieval.scopes import Scope, delete_scope, find_scope, list_scopes
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """List them, or delete one."""
    with open_session(settings, out, model=False) as session, session.as_user() as conn:
        collection = find_collection(conn, arguments.collection)
        if arguments.action == "delete":
            if arguments.name is None:
                raise InvalidInput("Say which selection goes.", hint="`corpuscope scopes` lists them.")
            gone = find_scope(conn, collection.id, arguments.name)
            delete_scope(conn, gone.id)
            out.result({"deleted": scope_as_json(gone)}, f"“{gone.name}” was deleted. No document changed by it.")
        else:
            found = list_scopes(conn, collection.id)
            out.result({"scopes": [scope_as_json(one) for one in found]}, _text(found))
    return 0


def scope_as_json(scope: Scope) -> dict[str, Any]:
    """The documented shape of one selection."""
    return {
        "name": scope.name,
        "passages": scope.passages,
        "documents": scope.documents,
        "created_at": scope.created_at.isoformat(),
    }


def named_scope(conn: Connection[Any], collection_id: UUID, name: str | None) -> int | None:
    """The id of the selection that `--scope` names; None without it."""
    return None if name is None else find_scope(conn, collection_id, name).id


def _text(scopes: Sequence[Scope]) -> str:
    if not scopes:
        return "No selection has been saved. Select passages on the Explore page to make one."
    rows = [(one.name or "", one.passages, one.documents, f"{one.created_at:%Y-%m-%d %H:%M}") for one in scopes]
    return table(rows, ("name", "passages", "documents", "saved"))
