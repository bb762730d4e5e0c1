"""`corpuscope trash`: list the deleted documents of a collection, restore some, or delete them for good."""

from __future__ import annotations

from argparse import Namespace

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import open_session
from rag.corpus.collections import find_collection
from rag.curation.trash import Trashed, empty_trash, list_trash, restore_documents
from rag.errors import InvalidInput, NotFound
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """What the first argument says."""
    with open_session(settings, out) as session, session.as_user() as conn:
        collection = find_collection(conn, arguments.collection).id
        lying = list_trash(conn, collection)
        if arguments.action == "restore":
            chosen = _choose(lying, arguments.names)
            done = restore_documents(conn, [one.id for one in chosen])
            out.result({"restored": done}, f"{done} restored")
        elif arguments.action == "empty":
            if not arguments.yes:
                raise InvalidInput(f"{len(lying)} deleted documents would go for good.", hint="Say --yes to do it.")
            done = empty_trash(conn, collection)
            out.result({"deleted": done}, f"{done} deleted for good")
        else:
            _list(lying, out)
    return 0


def _list(lying: list[Trashed], out: Output) -> None:
    rows = [
        (one.name, one.size, one.passages, f"{one.trashed_at:%Y-%m-%d}", f"{one.goes_at:%Y-%m-%d}") for one in lying
    ]
    out.result(
        {
            "trash": [
                {
                    "document": str(one.id),
                    "name": one.name,
                    "size": one.size,
                    "passages": one.passages,
                    "deleted": one.trashed_at.isoformat(),
                    "goes": one.goes_at.isoformat(),
                }
                for one in lying
            ]
        },
        table(rows, ("name", "bytes", "passages", "deleted", "goes")) if rows else "The trash is empty.",
    )


def _choose(lying: list[Trashed], names: list[str]) -> list[Trashed]:
    """Those with these names or ids; all without a name."""
    if not names:
        return lying
    for name in names:
        if not any(name in (one.name, str(one.id)) for one in lying):
            raise NotFound(f"“{name}” is not in the trash.", hint="`corpuscope trash` lists what is.")
    return [one for one in lying if one.name in names or str(one.id) in names]
