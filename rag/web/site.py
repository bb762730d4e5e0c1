"""Signing in and out: the pages, and the list of all pages of ours as routes."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from rag.auth import people, sessions, signing_in
from rag.auth.sessions import Session
from rag.errors import CorpuscopeError
from rag.web import cookies
from rag.web.entrance import Entrance
from rag.web.joining import choose_password, join, sign_up
from rag.web.origins import with_goal
from rag.web.provider import read_refusal
from rag.web.rendering import go_to, serve_file
from rag.web.visits import Handler, Visit, endpoint

_PROVIDER_LASTS = timedelta(minutes=10)
_FAILURES = {"provider": "The sign-in was not completed. Nothing was changed; try again."}
_DONE = {
    "reset": "Your new password is set, and every session is signed out. Sign in with it.",
    "out": "You are signed out.",
    "everywhere": "You are signed out on all your devices.",
}


def routes(entrance: Entrance) -> list[BaseRoute]:
    """Our own pages. They stand behind the gate, which looks up who is there."""
    pages: dict[str, Handler] = {"/sign-in": sign_in, "/sign-out": sign_out, "/guest": enter_as_guest, "/join": join}
    if entrance.uses_project:
        from rag.web import project_pages

        pages |= project_pages.PAGES
    elif entrance.uses_passwords:
        pages |= {"/sign-up": sign_up, "/reset": choose_password}
    else:
        pages["/sign-in/provider"] = go_to_provider
    made = [Route(path, endpoint(entrance, handler), methods=["GET", "POST"]) for path, handler in pages.items()]
    return [*made, Route("/web/{name}", serve_file, methods=["GET"])]


def sign_in(visit: Visit) -> Response:
    """The page that strangers are sent to, and what it asks."""
    entrance = visit.entrance
    if visit.is_posted and entrance.uses_passwords:
        device, address = visit.caller
        try:
            token, session = signing_in.sign_in(
                entrance.database,
                visit.ask("email"),
                visit.ask("password"),
                device=device,
                address=address,
                settings=entrance.settings,
            )
        except CorpuscopeError as error:
            return _ask_in(visit, error=error)
        return visit.let_in(token, session)
    if visit.session is not None and not visit.session.identity.is_guest:
        return go_to(visit.goal)
    return _ask_in(visit)


def _ask_in(visit: Visit, *, error: CorpuscopeError | None = None) -> Response:
    entrance = visit.entrance
    with entrance.database.as_accounts() as conn:
        is_new = not people.has_accounts(conn)
        row = conn.execute("select corpuscope.has_public_collections()").fetchone()
        has_public = bool(row and row[0])
    if is_new and entrance.uses_passwords:
        return go_to(with_goal("/sign-up", visit.goal))
    query = visit.request.query_params
    refusal = read_refusal(entrance, visit.request.cookies) if query.get("failed") == "refused" else None
    return visit.show(
        "sign_in",
        status=403 if refusal else 200,
        error=error or refusal,
        is_new=is_new,
        has_public=has_public and visit.session is None,
        failure=_FAILURES.get(query.get("failed", ""), ""),
        done=_DONE.get(query.get("done", ""), ""),
    )


def go_to_provider(visit: Visit) -> Response:
    """To the OpenID provider; where somebody wanted to go waits in a cookie."""
    provider = visit.entrance.provider
    if provider is None:
        return go_to("/sign-in")
    response = go_to(provider.address())
    kept = visit.entrance.cookie(cookies.NEXT, visit.goal, lasts=_PROVIDER_LASTS)
    response.headers.append("set-cookie", kept)
    return response


def sign_out(visit: Visit) -> Response:
    """Ends this session, or with ``everywhere`` all of the person's."""
    if visit.session is None:
        return go_to("/sign-in")
    if not visit.is_posted:
        return visit.show("sign_out", who=visit.session.identity.label, is_guest=visit.session.identity.is_guest)
    everywhere = bool(visit.ask("everywhere"))
    _end(visit, visit.session, everywhere)
    response = go_to(f"/sign-in?done={'everywhere' if everywhere else 'out'}")
    # What the app left in this browser's cache was for this person's eyes.
    response.headers["Clear-Site-Data"] = '"cache"'
    response.headers.append("set-cookie", visit.entrance.drop(cookies.SESSION))
    return response


def _end(visit: Visit, session: Session, everywhere: bool) -> None:
    if visit.entrance.uses_project:
        visit.entrance.project_door.sign_out(session, everywhere=everywhere)
        return
    with visit.entrance.database.as_accounts() as conn:
        sessions.end(conn, session.id, sessions.SIGNED_OUT)
        if everywhere:
            sessions.end_others(conn, session.identity.user_id, sessions.SIGNED_OUT_EVERYWHERE)


def enter_as_guest(visit: Visit) -> Response:
    """Look around in what is public, without an account."""
    if visit.session is not None:
        return go_to(visit.goal)
    if not visit.is_posted:
        return visit.show("guest")
    device, address = visit.caller
    try:
        token, session = signing_in.enter_as_guest(
            visit.entrance.database, device=device, address=address, settings=visit.entrance.settings
        )
    except CorpuscopeError as error:
        return visit.show("guest", error=error)
    return visit.let_in(token, session)
