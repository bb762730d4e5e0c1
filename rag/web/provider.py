"""Signing in at an OpenID provider: there with a button, back with its answer, and then with a session of ours.

The framework talks to the provider (discovery, PKCE, state, nonce, signature). Its answer carries what was said of the
person in a cookie; that is read here, checked by :mod:`rag.auth.oidc`, and goes no further.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.errors import CorpuscopeError, NotAllowed
from rag.web import cookies
from rag.web.callers import describe_caller
from rag.web.entrance import Entrance
from rag.web.origins import local_goal
from rag.web.rendering import go_to

_log = logging.getLogger(__name__)

_NOTICE_LASTS = timedelta(minutes=5)


async def answer_callback(app: ASGIApp, entrance: Entrance, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the framework finish with the provider, and answer in its place."""
    started: list[Message] = []

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)

    await app(scope, receive, keep)
    headers = started[0]["headers"] if started else []
    response = await run_in_threadpool(_conclude, entrance, Request(scope), cookies.cookies_set(headers))
    for name, value in headers:
        # What the framework remembers of the way to the provider; what the provider said stays here.
        given = value.decode("latin-1").partition("=")[0]
        if name.lower() == b"set-cookie" and entrance.provider and not entrance.provider.is_its_cookie(given):
            response.raw_headers.append((name, value))
    await response(scope, receive, send)


def _conclude(entrance: Entrance, request: Request, answer: Mapping[str, str]) -> Response:
    assert entrance.provider is not None
    claims = entrance.provider.claims(answer)
    if claims is None:
        _log.warning("The OpenID provider did not confirm a sign-in.")
        return go_to("/sign-in?failed=provider")
    found = cookies.read_cookies(request.scope["headers"])
    try:
        return _sign_in(entrance, request, claims, found)
    except CorpuscopeError as error:
        # The claims don't go into the log: they are about a person.
        _log.info("A sign-in through the OpenID provider was refused: %s", type(error).__name__)
        return refuse(entrance, error)


def refuse(entrance: Entrance, error: CorpuscopeError) -> Response:
    """Say why on the page of the sign-in, so that no address with a used code stays behind."""
    response = go_to("/sign-in?failed=refused")
    said = base64.urlsafe_b64encode(json.dumps([str(error), error.hint]).encode()).decode()
    response.headers.append("set-cookie", entrance.cookie(cookies.NOTICE, said, lasts=_NOTICE_LASTS))
    return response


def read_refusal(entrance: Entrance, found: Mapping[str, str]) -> NotAllowed | None:
    """Why the provider's person was refused a moment ago."""
    said = entrance.read(found, cookies.NOTICE)
    if said is None:
        return None
    message, hint = json.loads(base64.urlsafe_b64decode(said))
    return NotAllowed(message, hint=hint)


def _sign_in(entrance: Entrance, request: Request, claims: Mapping[str, Any], found: Mapping[str, str]) -> Response:
    from rag.auth.oidc import sign_in_oidc

    device, address = describe_caller(request)
    token, session = sign_in_oidc(
        entrance.database,
        claims,
        settings=entrance.settings,
        invitation=entrance.read(found, cookies.INVITATION),
        device=device,
        address=address,
    )
    response = go_to(local_goal(entrance.read(found, cookies.NEXT) or "/"))
    response.headers.append("set-cookie", entrance.session_cookie(token, session))
    for name in (cookies.NEXT, cookies.INVITATION):
        response.headers.append("set-cookie", entrance.drop(name))
    return response
