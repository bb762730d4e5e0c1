"""The gate in front of the whole app: without a session nothing behind it answers, be it a page, a file or a socket."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.auth import sessions
from rag.auth.sessions import Session
from rag.errors import DatabaseError, DatabaseUnavailable
from rag.web import cookies
from rag.web.entrance import SESSION_HEADER, SESSION_KEY, Entrance
from rag.web.origins import goal_of, is_same_origin, names_our_origin, with_goal
from rag.web.provider import answer_callback
from rag.web.rendering import go_to, show

#: Files and signs of life that say nothing of anybody.
_PUBLIC = frozenset({"/favicon.ico", "/favicon.png", "/_stcore/health"})
_PUBLIC_FOLDERS = ("/app/static/", "/static/", "/web/")
#: Under this our own routes give data to our own scripts, as the person of the session may see it.
_DATA = "/api/"
#: Under these the app serves data and code; everything else is the address of a page.
_NOT_PAGES = ("/_stcore/", "/media/", "/component/", "/static/", "/app/static/", _DATA)
#: Between them the framework and an OpenID provider.
_PROVIDER = frozenset({"/auth/login", "/oauth2callback"})

#: What our own pages read again, and nobody else.
_SITE_COOKIES = frozenset(
    {cookies.NEXT, cookies.INVITATION, cookies.RESET, cookies.NOTICE, cookies.FLOW, cookies.SETUP}
)
_OUR_COOKIES = _SITE_COOKIES | {cookies.SESSION}

ROTATE_AFTER = timedelta(hours=1)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: For all answers from behind the gate. The app's own pages run inline code, so that no policy on scripts fits them.
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
]

_log = logging.getLogger(__name__)


class SessionGate:
    """ASGI middleware, the outermost of the app. With AUTH=none it isn't needed and lets everything through."""

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not self._entrance.is_guarded or _is_public(scope):
            return await self._app(_without_secrets(scope), receive, send)
        try:
            session = await run_in_threadpool(self._find_session, scope)
        except DatabaseError as problem:
            return await _refuse(scope, receive, send, _starting(scope, problem))
        if scope["path"] in self._entrance.pages:
            inner = _without_secrets(scope, keep=_SITE_COOKIES)
            return await self._app({**inner, SESSION_KEY: session}, receive, send)
        if scope["path"] in _PROVIDER and scope["type"] == "http":
            return await self._let_through_provider(scope, receive, send)
        if session is None:
            return await _refuse(scope, receive, send, self._ask_in(scope))
        if not self._is_ours(scope):
            return await _refuse(scope, receive, send, PlainTextResponse("This came from another site.", 403))
        return await self._let_through(scope, receive, send, session)

    def _find_session(self, scope: Scope) -> Session | None:
        found = cookies.read_cookies(scope["headers"])
        token = self._entrance.read(found, cookies.SESSION)
        database = self._entrance.database
        if token is None:
            return None
        with database.as_accounts() as conn:
            session = sessions.find_by_token(conn, token, idle=self._entrance.idle)
        return self._entrance.keep_fresh(session)

    def _ask_in(self, scope: Scope) -> Response:
        """Send a page's visitor to the sign-in; anything else gets a plain refusal."""
        if not _is_page(scope):
            return PlainTextResponse("Sign in first.", status_code=401, headers={"Cache-Control": "no-store"})
        return go_to(with_goal("/sign-in", goal_of(scope["path"], scope["query_string"])))

    def _is_ours(self, scope: Scope) -> bool:
        """Whether a request that may change something, or a socket, was made by a page of ours."""
        public_url = self._entrance.settings.public_url
        if scope["type"] == "websocket":
            return names_our_origin(scope["headers"], public_url)
        return scope["method"] in _SAFE_METHODS or is_same_origin(scope["headers"], public_url)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send, session: Session) -> None:
        inner = _without_secrets(scope)
        if scope["type"] == "websocket":
            signed = self._entrance.signer("tab").sign(str(session.id))
            inner["headers"] = [*inner["headers"], (SESSION_HEADER.encode(), signed.encode())]
            return await self._app(inner, receive, send)
        extra = list(_HEADERS)
        if _is_page(scope) and datetime.now(UTC) - session.rotated_at > ROTATE_AFTER:
            extra += await run_in_threadpool(self._rotate, session)
        if scope["path"].startswith(_DATA):
            inner = {**inner, SESSION_KEY: session}
        elif scope["path"].startswith("/media/"):
            extra.append((b"cache-control", b"private, no-store"))
        return await self._app(inner, receive, _adding(send, extra))

    def _rotate(self, session: Session) -> list[tuple[bytes, bytes]]:
        with self._entrance.database.as_accounts() as conn:
            token = sessions.rotate(conn, session.id)
        return [] if token is None else [(b"set-cookie", self._entrance.session_cookie(token, session).encode())]

    async def _let_through_provider(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._entrance.provider is None:
            return await go_to("/sign-in")(scope, receive, send)
        if scope["path"] == "/oauth2callback":
            return await answer_callback(self._app, self._entrance, scope, receive, send)
        return await self._app(_without_secrets(scope), receive, send)


def _without_secrets(scope: Scope, *, keep: frozenset[str] = frozenset()) -> Scope:
    """The request as the app may see it: without our cookies, and without a header that only the gate may send."""
    if scope["type"] not in ("http", "websocket"):
        return scope
    headers = cookies.without_cookies(scope["headers"], _OUR_COOKIES - keep)
    return {**scope, "headers": [pair for pair in headers if pair[0] != SESSION_HEADER.encode()]}


def _is_public(scope: Scope) -> bool:
    path = scope["path"]
    if (
        scope["type"] != "http"
        or scope["method"] not in ("GET", "HEAD")
        or ".." in path
        or "//" in path
        or "\\" in path
    ):
        return False
    return path in _PUBLIC or path.startswith(_PUBLIC_FOLDERS)


def _is_page(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not scope["path"].startswith(_NOT_PAGES)
        and scope["path"] not in _PUBLIC
    )


def _starting(scope: Scope, problem: DatabaseError) -> Response:
    """Until the database answers nobody can be told from a stranger, so that nobody comes in."""
    if not isinstance(problem, DatabaseUnavailable):
        _log.error("A session could not be looked up: %s", problem)
    if not _is_page(scope):
        return PlainTextResponse("The database is starting.", status_code=503, headers={"Retry-After": "1"})
    page = show("starting", status=503, problem=problem)
    page.headers["Retry-After"] = "1"
    return page


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        # Before it was accepted: the browser gets a plain 403, and no socket.
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, send)


def _adding(send: Send, extra: list[tuple[bytes, bytes]]) -> Send:
    """``send`` with headers of ours; where both have one, ours counts. Cookies add up."""
    names = {name for name, _ in extra} - {b"set-cookie"}

    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *extra]}
        await send(message)

    return add
