"""The pages of the sign-in where people have accounts at a Supabase project: passwords, codes, providers, new accounts.

Whoever goes to the project or to their mailbox takes a cookie along with a random id. What is remembered under it is in
the database, so that it doesn't matter which process, or which socket, they come back to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from rag.auth import attempts, people, signing_in
from rag.auth.project_door import Caller, Entered, ProjectDoor
from rag.auth.secret_tokens import is_setup_code
from rag.auth.sign_in_flows import LASTS, Flow, FlowKind, begin_flow, find_flow, take_flow
from rag.auth.supabase_auth import CodeKind, ProjectTokens, Proof
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed, SignInRefused
from rag.web import cookies
from rag.web.origins import with_goal
from rag.web.provider import read_refusal, refuse
from rag.web.rendering import go_to
from rag.web.visits import Handler, Visit

_SETUP_LASTS = timedelta(minutes=30)
_NAMES = {
    "github": "GitHub",
    "gitlab": "GitLab",
    "azure": "Microsoft",
    "linkedin_oidc": "LinkedIn",
    "slack_oidc": "Slack",
}
_CODES: dict[FlowKind, CodeKind] = {"email": "email", "signup": "signup", "recovery": "recovery"}
_FAILURES = {
    "provider": "The sign-in was not completed. Nothing was changed; try again.",
    "elsewhere": "This link or sign-in was begun in another browser, or used already. Begin again here.",
}
_DONE = {
    "reset": "Your new password is set, and every session is signed out. Sign in with it.",
    "confirmed": "Your e-mail address is confirmed. Sign in.",
    "out": "You are signed out.",
    "everywhere": "You are signed out on all your devices.",
}


def providers(visit: Visit) -> list[tuple[str, str]]:
    """The OAuth providers that the settings name, and what people call them."""
    named = (one.strip().lower() for one in visit.entrance.settings.supabase_oauth.split(","))
    return [(one, _NAMES.get(one, one.title())) for one in dict.fromkeys(named) if one]


def sign_in(visit: Visit) -> Response:
    """The page that strangers are sent to: by password, by a code, or by a provider."""
    if visit.is_posted:
        way = _send_code if visit.ask("way") == "code" else _enter_by_password
        try:
            return way(visit)
        except CorpuscopeError as error:
            return _ask_in(visit, error=error)
    if visit.session is not None and not visit.session.identity.is_guest:
        return go_to(visit.goal)
    return _ask_in(visit)


def _enter_by_password(visit: Visit) -> Response:
    return _let_in(visit, _door(visit).sign_in(visit.ask("email"), visit.ask("password"), _caller(visit)))


def _send_code(visit: Visit) -> Response:
    email = people.require_email(visit.ask("email"))
    verifier = _door(visit).send_code(email, _caller(visit), back=_back(visit))
    return _wait_for_message(visit, Flow("email", visit.goal, email, verifier))


def _ask_in(visit: Visit, *, error: CorpuscopeError | None = None) -> Response:
    entrance = visit.entrance
    with entrance.database.as_accounts() as conn:
        is_new = not people.has_accounts(conn)
        row = conn.execute("select corpuscope.has_public_collections()").fetchone()
    query = visit.request.query_params
    refusal = read_refusal(entrance, visit.request.cookies) if query.get("failed") == "refused" else None
    return visit.show(
        "project_sign_in",
        status=403 if refusal else 200,
        error=error or refusal,
        is_new=is_new,
        needs_code=is_new and not _knows_setup_code(visit),
        has_public=bool(row and row[0]) and visit.session is None,
        providers=providers(visit),
        failure=_FAILURES.get(query.get("failed", ""), ""),
        done=_DONE.get(query.get("done", ""), ""),
    )


def set_up(visit: Visit) -> Response:
    """Take the set-up code, so that whoever signs in next in this browser may be the first administrator."""
    if not visit.is_posted:
        return go_to("/sign-in")
    guard = attempts.by_network(visit.caller[1])
    try:
        attempts.count_attempt(visit.entrance.database, guard)
        if not is_setup_code(visit.entrance.key, visit.ask("code")):
            raise NotAllowed("The set-up code is wrong.", hint="It is in what Corpuscope printed when it started.")
    except CorpuscopeError as error:
        return _ask_in(visit, error=error)
    with visit.entrance.database.as_accounts() as conn:
        attempts.take_back(conn, guard)
    response = go_to(with_goal("/sign-in", visit.goal))
    response.headers.append("set-cookie", visit.entrance.cookie(cookies.SETUP, "known", lasts=_SETUP_LASTS))
    return response


def sign_up(visit: Visit) -> Response:
    """A new account at the project."""
    if not visit.is_posted:
        return visit.show("project_sign_up")
    try:
        email = people.require_email(visit.ask("email"))
        proof, verifier = _door(visit).sign_up(
            email, visit.ask("password"), visit.ask("name"), _caller(visit), back=_back(visit)
        )
        if proof is not None:
            return _let_in(visit, _door(visit).enter(proof, _caller(visit)))
    except CorpuscopeError as error:
        return visit.show("project_sign_up", error=error)
    return _wait_for_message(visit, Flow("signup", visit.goal, email, verifier))


def forgot(visit: Visit) -> Response:
    """Send a code with which a new password can be chosen."""
    if not visit.is_posted:
        return visit.show("project_forgot")
    try:
        email = people.require_email(visit.ask("email"))
        verifier = _door(visit).send_recovery(email, _caller(visit), back=_back(visit))
    except CorpuscopeError as error:
        return visit.show("project_forgot", error=error)
    return _wait_for_message(visit, Flow("recovery", "/", email, verifier))


def take_code(visit: Visit) -> Response:
    """The code of a message."""
    flow = _find(visit)
    if flow is None or flow.kind not in _CODES:
        return go_to("/sign-in?failed=elsewhere")
    if not visit.is_posted:
        return visit.show("project_code", email=flow.email, kind=flow.kind)
    try:
        code = visit.ask("code").strip()
        if not code:
            raise InvalidInput("Type the code from the message.")
        proof = _door(visit).take_code(flow.email, code, _CODES[flow.kind], _caller(visit))
        _take(visit)
        return _proven(visit, flow, proof)
    except CorpuscopeError as error:
        return visit.show("project_code", email=flow.email, kind=flow.kind, error=error)


def go_to_provider(visit: Visit) -> Response:
    """To an OAuth provider, by way of the project."""
    name = visit.request.query_params.get("provider", "")
    if name not in dict(providers(visit)):
        return go_to("/sign-in")
    try:
        attempts.count_attempt(visit.entrance.database, attempts.by_network(visit.caller[1]))
        address, verifier = _door(visit).project.provider_address(name, back=_back(visit))
    except CorpuscopeError as error:
        return _ask_in(visit, error=error)
    return _remember(visit, go_to(address), Flow("provider", visit.goal, verifier=verifier))


def come_back(visit: Visit) -> Response:
    """What a provider's redirect, or the link of a message, leads to."""
    query = visit.request.query_params
    flow = _take(visit)
    if "code" not in query:
        # A link that was opened in another browser says no more to us than that it was opened.
        return go_to("/sign-in?failed=provider" if "error" in query else "/sign-in?done=confirmed")
    if flow is None or not flow.verifier:
        return go_to("/sign-in?failed=elsewhere")
    try:
        proof = _door(visit).project.exchange(
            query["code"], flow.verifier, "provider" if flow.kind == "provider" else "code"
        )
        if flow.kind == "provider":
            with visit.entrance.database.as_accounts() as conn:
                attempts.take_back(conn, attempts.by_network(visit.caller[1]))
        return _proven(visit, flow, proof)
    except CorpuscopeError as error:
        return refuse(visit.entrance, error)


def choose_password(visit: Visit) -> Response:
    """A new password for whoever proved that they read the mailbox."""
    flow = _find(visit)
    if flow is None or flow.kind != "new password":
        return go_to("/forgot")
    if not visit.is_posted:
        return visit.show("reset", email=flow.email)
    tokens = ProjectTokens(flow.access, flow.refresh, _moment(flow.expires_at))
    try:
        _door(visit).reset_password(tokens, UUID(flow.user_id), flow.email, visit.ask("password"))
    except SignInRefused as error:
        return refuse(visit.entrance, error)
    except CorpuscopeError as error:
        return visit.show("reset", email=flow.email, error=error)
    _take(visit)
    response = go_to("/sign-in?done=reset")
    for name in (cookies.FLOW, cookies.SESSION):
        response.headers.append("set-cookie", visit.entrance.drop(name))
    return response


def enter_as_guest(visit: Visit) -> Response:
    """Look around in what is public, as an anonymous user of the project."""
    if visit.session is not None:
        return go_to(visit.goal)
    if not visit.is_posted:
        return visit.show("guest")
    try:
        entered = _door(visit).enter_as_guest(_caller(visit))
    except CorpuscopeError as error:
        return visit.show("guest", error=error)
    return visit.let_in(entered.token, entered.session)


PAGES: dict[str, Handler] = {
    "/sign-in": sign_in,
    "/sign-in/setup": set_up,
    "/sign-in/code": take_code,
    "/sign-in/provider": go_to_provider,
    "/sign-in/callback": come_back,
    "/sign-up": sign_up,
    "/forgot": forgot,
    "/reset": choose_password,
    "/guest": enter_as_guest,
}


def _proven(visit: Visit, flow: Flow, proof: Proof) -> Response:
    """They are who they say: in they come, or on to a new password."""
    if flow.kind != "recovery":
        return _let_in(visit, _door(visit).enter(proof, _caller(visit)), flow.goal)
    tokens = proof.tokens
    chosen: dict[str, Any] = {
        "email": proof.user.email or flow.email,
        "user_id": str(proof.user.id),
        "access": tokens.access,
        "refresh": tokens.refresh,
        "expires_at": tokens.expires_at.timestamp(),
    }
    return _remember(visit, go_to("/reset"), Flow("new password", **chosen))


def _let_in(visit: Visit, entered: Entered, goal: str | None = None) -> Response:
    if entered.collection_id is not None:
        goal = f"/documents?collection={entered.collection_id}"
    response = visit.let_in(entered.token, entered.session, goal)
    for name in (cookies.FLOW, cookies.INVITATION, cookies.SETUP):
        response.headers.append("set-cookie", visit.entrance.drop(name))
    return response


def _wait_for_message(visit: Visit, flow: Flow) -> Response:
    return _remember(visit, go_to("/sign-in/code"), flow)


def _remember(visit: Visit, response: Response, flow: Flow) -> Response:
    with visit.entrance.database.as_accounts() as conn:
        token = begin_flow(conn, _door(visit).flows, flow)
    response.headers.append("set-cookie", visit.entrance.cookie(cookies.FLOW, token, lasts=LASTS))
    return response


def _find(visit: Visit) -> Flow | None:
    token = visit.kept(cookies.FLOW)
    if token is None:
        return None
    with visit.entrance.database.as_accounts() as conn:
        return find_flow(conn, _door(visit).flows, token)


def _take(visit: Visit) -> Flow | None:
    token = visit.kept(cookies.FLOW)
    if token is None:
        return None
    with visit.entrance.database.as_accounts() as conn:
        return take_flow(conn, _door(visit).flows, token)


def _door(visit: Visit) -> ProjectDoor:
    return visit.entrance.project_door


def _caller(visit: Visit) -> Caller:
    device, address = visit.caller
    return Caller(device, address, visit.kept(cookies.INVITATION), _knows_setup_code(visit))


def _knows_setup_code(visit: Visit) -> bool:
    settings = visit.entrance.settings
    return not signing_in.needs_setup_code(settings) or visit.kept(cookies.SETUP) is not None


def _back(visit: Visit) -> str:
    """Where the project sends people back to. It has a list of addresses that it does so for."""
    public = visit.entrance.settings.public_url
    return f"{public or 'http://' + visit.request.headers.get('host', '')}/sign-in/callback"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
