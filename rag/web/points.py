"""What the map in the browser asks for: its points, one byte a place for colours, and what a point says.

Every request runs under the policies of the person who asks. A map that isn't theirs answers 404, like one that
doesn't exist.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from psycopg import Connection
from psycopg.rows import dict_row
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from rag.auth.identity import Identity
from rag.auth.sessions import Session
from rag.errors import CorpuscopeError, DatabaseUnavailable, InvalidInput, NotFound
from rag.mapping.channels import read_channel
from rag.mapping.payload import encode_points, points_version
from rag.store.database import Database
from rag.web.entrance import SESSION_KEY

#: A browser keeps an answer for its person, and asks whether it still holds: the version may have risen.
_CACHED = {"Cache-Control": "private, no-cache", "Vary": "Cookie"}
_NOT_KEPT = {"Cache-Control": "no-store"}
#: Level 6 takes ten times as long, and coordinates get no shorter.
_GZIP_LEVEL = 1
#: Points of a map of a million take longer than a page's usual statement.
_LIMIT_S = 30.0
_FIRST_WORDS = 280

FindDatabase = Callable[[], Database | None]
Answer = Callable[[Connection[Any], Request, Identity], Response]


def routes(find_database: FindDatabase, everybody: Identity | None = None) -> list[BaseRoute]:
    """The addresses under /api/maps/. ``everybody`` is who asks where nobody signs in; else the gate knows."""
    answers: dict[str, Answer] = {
        "points": answer_points,
        "channel/{kind}": answer_channel,
        "point/{place:int}": answer_point,
    }
    return [
        Route(f"/api/maps/{{map:int}}/{path}", _endpoint(find_database, everybody, answer), methods=["GET"])
        for path, answer in answers.items()
    ]


def _endpoint(find_database: FindDatabase, everybody: Identity | None, answer: Answer) -> Callable[[Request], Any]:
    def work(request: Request) -> Response:
        identity = _identity(request, everybody)
        if identity is None:
            return PlainTextResponse("Sign in first.", 401, headers=_NOT_KEPT)
        try:
            database = find_database()
            if database is None:
                raise DatabaseUnavailable("The database is starting.")
            with database.as_user(identity.claims, limit_s=_LIMIT_S) as conn:
                return answer(conn, request, identity)
        except CorpuscopeError as error:
            return _refusal(error)

    async def respond(request: Request) -> Response:
        return await run_in_threadpool(work, request)

    return respond


def _identity(request: Request, everybody: Identity | None) -> Identity | None:
    session = request.scope.get(SESSION_KEY)
    return session.identity if isinstance(session, Session) else everybody


def _refusal(error: CorpuscopeError) -> Response:
    status = 404 if isinstance(error, NotFound) else 400 if isinstance(error, InvalidInput) else 503
    return PlainTextResponse(f"{error} {error.hint}".strip(), status, headers=_NOT_KEPT)


def answer_points(conn: Connection[Any], request: Request, identity: Identity) -> Response:
    """The payload of :func:`rag.mapping.payload.encode_points`, or 304 where the browser has it already."""
    map_id = _map(request)
    tag = _tag(identity, "points", map_id, points_version(conn, map_id))
    if _knows(request, tag):
        return Response(status_code=304, headers={**_CACHED, "ETag": tag})
    return _binary(encode_points(conn, map_id), request, tag)


def answer_channel(conn: Connection[Any], request: Request, identity: Identity) -> Response:
    """One byte a place. It may change with any act on a document, so that only its content can be its tag."""
    arguments: Mapping[str, str] = dict(request.query_params)
    values = read_channel(conn, _map(request), request.path_params["kind"], arguments).values
    tag = _tag(identity, hashlib.sha256(values).hexdigest())
    if _knows(request, tag):
        return Response(status_code=304, headers={**_CACHED, "ETag": tag})
    return _binary(values, request, tag)


def answer_point(conn: Connection[Any], request: Request, _: Identity) -> Response:
    """What the tooltip of a point says: ``title``, ``text`` (its first words), ``heading``, ``page`` and ``link``."""
    place = min(request.path_params["place"], 2**31 - 1)
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_POINT, [_FIRST_WORDS + 1, _map(request), place]).fetchone()
    if row is None:
        raise NotFound("That point doesn't exist, or it isn't shared with you.")
    text = " ".join(str(row["text"]).split())
    return JSONResponse(
        {
            "place": place,
            "chunk": row["id"],
            "title": row["name"],
            "heading": " › ".join(row["heading_path"] or []),
            "page": row["page"],
            "text": text[:_FIRST_WORDS] + ("…" if len(text) > _FIRST_WORDS else ""),
            "excluded": row["excluded"],
            "link": f"/document?{urlencode({name: row[name] for name in ('document', 'start', 'end')})}",
        },
        headers={"Cache-Control": "private, max-age=60", "Vary": "Cookie"},
    )


_POINT = """
    select k.id, d.name, k.heading_path, k.page, left(k.text, %s) as text, k.excluded,
           k.document_id as document, k.start_char as start, k.end_char as "end"
    from public.map_points p
    join public.chunks k on k.id = p.chunk_id
    join public.documents d on d.id = k.document_id
    where p.map_id = %s and p.place = %s
"""


def _map(request: Request) -> int:
    """Numbers beyond bigint name no map."""
    return int(min(request.path_params["map"], 2**63 - 1))


def _tag(identity: Identity, *parts: object) -> str:
    """Differs between people: a shared browser must not hand one what another may see."""
    text = "/".join(map(str, (identity.user_id, *parts)))
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _knows(request: Request, tag: str) -> bool:
    held = re.findall(r'"([^"]*)"', request.headers.get("if-none-match", ""))
    return tag.removeprefix("W/").strip('"') in held


def _binary(content: bytes, request: Request, tag: str) -> Response:
    headers = {**_CACHED, "ETag": tag}
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, _GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="application/octet-stream", headers=headers)
