"""The file of a document as a download: streamed piece by piece from wherever it is, under the policies of who asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from rag.auth.identity import Identity
from rag.auth.sessions import Session
from rag.corpus.audit import note_export
from rag.corpus.originals import FileStore, find_original, read_original
from rag.errors import CorpuscopeError, DatabaseUnavailable, NotFound
from rag.store.database import Database
from rag.web.entrance import SESSION_KEY

#: Whatever the file says of itself, no browser runs it here.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}

FindDatabase = Callable[[], Database | None]
FindStore = Callable[[], FileStore | None]


def address(document_id: UUID) -> str:
    """Where a browser gets the file from."""
    return f"/api/originals/{document_id}"


def routes(find_database: FindDatabase, find_store: FindStore, everybody: Identity | None = None) -> list[BaseRoute]:
    """The address of :func:`address`. ``everybody`` is who asks where nobody signs in; else the gate knows."""

    async def respond(request: Request) -> Response:
        return await run_in_threadpool(_answer, request, find_database, find_store, everybody)

    return [Route("/api/originals/{document:uuid}", respond, methods=["GET"])]


def _answer(
    request: Request, find_database: FindDatabase, find_store: FindStore, everybody: Identity | None
) -> Response:
    session = request.scope.get(SESSION_KEY)
    identity = session.identity if isinstance(session, Session) else everybody
    if identity is None:
        return PlainTextResponse("Sign in first.", 401, headers=_HEADERS)
    try:
        return _hand_out(request.path_params["document"], identity, find_database(), find_store())
    except CorpuscopeError as error:
        status = 404 if isinstance(error, NotFound) else 503
        return PlainTextResponse(f"{error} {error.hint}".strip(), status, headers=_HEADERS)


def _hand_out(document_id: UUID, identity: Identity, database: Database | None, store: FileStore | None) -> Response:
    """Note who takes what, then begin: what can't be had is refused before anything is sent."""
    if database is None:
        raise DatabaseUnavailable("The database is starting.")
    connect = partial(database.as_user, identity.claims)
    with connect() as conn:
        original = find_original(conn, document_id)
        note_export(conn, original.collection_id, f"“{original.name}”")
    pieces = read_original(connect, document_id, store)
    first = next(pieces, b"")
    headers = {
        **_HEADERS,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(original.name, safe='')}",
        "Content-Length": str(original.size),
    }
    return StreamingResponse(_with(first, pieces), media_type="application/octet-stream", headers=headers)


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[Any]:
    if first:
        yield first
    yield from rest
