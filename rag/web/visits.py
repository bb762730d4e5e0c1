"""One request for a page of ours, and how a plain function answers it: forms are read and work is done in threads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rag.auth import sessions
from rag.auth.sessions import Session
from rag.errors import CorpuscopeError, SignInBlocked
from rag.web.callers import describe_caller
from rag.web.entrance import SESSION_KEY, Entrance
from rag.web.origins import is_same_origin, local_goal, with_goal
from rag.web.rendering import PAGE_HEADERS, go_to, show

#: Checking a password takes 64 MB; so many at once, and the others wait.
_AT_ONCE = 4
#: Where a Supabase project does that, we only wait for it.
_AT_ONCE_ELSEWHERE = 24
_LARGEST_FORM = 32 * 1024

Handler = Callable[["Visit"], Response]


@dataclass(frozen=True)
class Visit:
    """A request for a page of ours. ``form`` is empty unless it was posted by one of our forms."""

    entrance: Entrance
    request: Request
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_posted(self) -> bool:
        return self.request.method == "POST"

    @property
    def session(self) -> Session | None:
        """The session that the gate found."""
        found = self.request.scope.get(SESSION_KEY)
        return found if isinstance(found, Session) else None

    @property
    def goal(self) -> str:
        """Where to go afterwards; always an address of ours."""
        return local_goal(self.form.get("next") or self.request.query_params.get("next") or "/")

    @cached_property
    def caller(self) -> tuple[str, str]:
        """Device and network address."""
        return describe_caller(self.request)

    def ask(self, name: str) -> str:
        """A field of the form."""
        return self.form.get(name, "")

    def kept(self, name: str) -> str | None:
        """What we signed into a cookie."""
        return self.entrance.read(self.request.cookies, name)

    def let_in(self, token: str, session: Session, goal: str | None = None) -> Response:
        """Sign this browser in. A session that it had before ends: no tab goes on as somebody else."""
        self.end_former()
        response = go_to(self.goal if goal is None else goal)
        response.headers.append("set-cookie", self.entrance.session_cookie(token, session))
        return response

    def end_former(self) -> None:
        if self.session is None:
            return
        if self.entrance.uses_project:
            self.entrance.project_door.sign_out(self.session)
        else:
            with self.entrance.database.as_accounts() as conn:
                sessions.end(conn, self.session.id, sessions.SIGNED_OUT)

    def show(
        self, template: str, *, status: int = 200, error: CorpuscopeError | None = None, **values: Any
    ) -> Response:
        """A page that says ``error``, if there is one, and keeps what isn't secret."""
        if error is not None and status == 200:
            status = 429 if isinstance(error, SignInBlocked) else 400
        known = {
            "error": error,
            "goal": self.goal,
            "with_goal": with_goal,
            "label": self.entrance.settings.oidc_label,
            "uses_passwords": self.entrance.uses_passwords,
            "uses_project": self.entrance.uses_project,
            "email": self.ask("email").strip()[:320],
            "name": self.ask("name").strip()[:200],
        }
        response = show(template, status=status, **{**known, **values})
        if isinstance(error, SignInBlocked):
            response.headers["Retry-After"] = str(int(error.retry_after) + 1)
        return response


def endpoint(entrance: Entrance, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """``handler`` as a route: it blocks, so that it runs in a thread, a few at a time."""

    async def answer(request: Request) -> Response:
        form: Mapping[str, str] = {}
        if request.method == "POST":
            if not is_same_origin(request.scope["headers"], entrance.settings.public_url):
                return PlainTextResponse("This form came from another site.", 403, headers=PAGE_HEADERS)
            read = await read_form(request)
            if read is None:
                return PlainTextResponse("This form can't be read.", 400, headers=PAGE_HEADERS)
            form = read
        return await anyio.to_thread.run_sync(handler, Visit(entrance, request, form), limiter=_limiter(entrance))

    return answer


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a posted form; None if it isn't one, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_FORM:
            return None
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except (ValueError, UnicodeError):
        return None


_made: list[anyio.CapacityLimiter] = []


def _limiter(entrance: Entrance) -> anyio.CapacityLimiter:
    if not _made:
        _made.append(anyio.CapacityLimiter(_AT_ONCE_ELSEWHERE if entrance.uses_project else _AT_ONCE))
    return _made[0]
