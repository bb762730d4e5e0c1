"""Downloads: what leaves a collection is noted, and tables become CSV files that are safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from pages.parts.product import Product, product
from pages.parts.session import require_user
from rag.auth.identity import Identity
from rag.corpus.audit import note_export
from rag.errors import SignInNeeded

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def handing_out(
    collection_id: UUID, what: str, make: Callable[[psycopg.Connection[Any]], bytes], *, rows: int | None = None
) -> Callable[[], bytes]:
    """What a download button calls at the click: notes the export and makes the file, both or neither.

    Streamlit calls it in a thread that knows no session, any time after the page was drawn. So the person is taken
    along from now, and whether their session still stands is asked then. ``what`` completes "Alice downloaded …".
    """

    def note_and_make(conn: psycopg.Connection[Any]) -> bytes:
        note_export(conn, collection_id, what, rows)
        return make(conn)

    return as_visitor(note_and_make)


def as_visitor(make: Callable[[psycopg.Connection[Any]], bytes]) -> Callable[[], bytes]:
    """The same for what is in no collection: ``make`` runs as the person of now, if their session still stands then."""
    identity, shared = require_user(), product()

    def hand_out() -> bytes:
        assert shared.database is not None
        _require_session(shared, identity)
        with shared.database.as_user(identity.claims) as conn:
            return make(conn)

    return hand_out


def _require_session(shared: Product, identity: Identity) -> None:
    if identity.session_id is None:
        return
    from pages.parts.guard import entrance
    from rag.auth.sessions import find_session

    assert shared.database is not None
    with shared.database.as_accounts() as conn:
        session = find_session(conn, identity.session_id, idle=entrance().idle, touch=False)
    if session is None or session.identity.user_id != identity.user_id:
        raise SignInNeeded


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """UTF-8 with a byte order mark, which spreadsheets need to read it as UTF-8; header first."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return out.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula gets an apostrophe; numbers stay numbers."""
    if value is None:
        return ""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return "'" + value
    return value


def file_name(*parts: str, extension: str = "csv") -> str:
    """A file name from words: ``corpuscope-my-corpus-search.csv``."""
    words = re.sub(r"[^\w]+", "-", " ".join(("corpuscope", *parts)).lower(), flags=re.UNICODE).strip("-")
    return f"{words[:80].rstrip('-')}.{extension}"
