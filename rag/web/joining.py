"""The pages that make an account or give it a new password: the first account, invitations, links to choose a password.

The secret of a link stands behind the # of its address, which browsers send to nobody. A script moves it into a form;
from then on a cookie has it, so that the page can be loaded again and never shows it.
"""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from rag.auth import invitations, people, signing_in
from rag.auth.invitations import Invitation
from rag.errors import CorpuscopeError
from rag.web import cookies
from rag.web.rendering import go_to
from rag.web.visits import Visit

_LINK_LASTS = timedelta(hours=1)
_LONGEST_TOKEN = 200


def sign_up(visit: Visit) -> Response:
    """The first account of the installation, its administrator's."""
    entrance = visit.entrance
    with entrance.database.as_accounts() as conn:
        if people.has_accounts(conn):
            return go_to("/sign-in")
    needs_code = signing_in.needs_setup_code(entrance.settings)
    if not visit.is_posted:
        return visit.show("sign_up", needs_code=needs_code)
    device, address = visit.caller
    try:
        token, session = signing_in.sign_up_first(
            entrance.database,
            visit.ask("email"),
            visit.ask("name"),
            visit.ask("password"),
            device=device,
            address=address,
            settings=entrance.settings,
            code=visit.ask("code"),
        )
    except CorpuscopeError as error:
        return visit.show("sign_up", error=error, needs_code=needs_code)
    return visit.let_in(token, session)


def join(visit: Visit) -> Response:
    """What an invitation gives, and the form that accepts it: with a new account, or with the one that is signed in."""
    if "link" in visit.form:
        return _keep_link(visit, cookies.INVITATION, "/join")
    token = visit.kept(cookies.INVITATION)
    if token is None:
        return visit.show("paste", heading="Join", path="/join", what="invitation")
    with visit.entrance.database.as_accounts() as conn:
        invitation = invitations.describe_invitation(conn, token)
    if invitation is None or not invitation.is_open:
        return _refuse_link(visit, cookies.INVITATION, invitations.refused_invitation())
    if not visit.is_posted:
        return _show_invitation(visit, invitation)
    try:
        return _accept(visit, token, invitation)
    except CorpuscopeError as error:
        return _show_invitation(visit, invitation, error=error)


def _accept(visit: Visit, token: str, invitation: Invitation) -> Response:
    entrance = visit.entrance
    goal = f"/documents?collection={invitation.collection_id}" if invitation.collection_id else "/"
    if visit.session is not None and not visit.session.identity.is_guest:
        signing_in.accept(entrance.database, token, visit.session.identity.user_id)
        response = go_to(goal)
    else:
        device, address = visit.caller
        made, session = signing_in.join(
            entrance.database,
            token,
            email=visit.ask("email"),
            name=visit.ask("name"),
            password=visit.ask("password"),
            device=device,
            address=address,
            settings=entrance.settings,
        )
        response = visit.let_in(made, session, goal)
    response.headers.append("set-cookie", entrance.drop(cookies.INVITATION))
    return response


def _show_invitation(visit: Visit, invitation: Invitation, *, error: CorpuscopeError | None = None) -> Response:
    who = visit.session.identity if visit.session is not None and not visit.session.identity.is_guest else None
    return visit.show("join", error=error, invitation=invitation, who=who)


def choose_password(visit: Visit) -> Response:
    """A new password for whoever has a link to choose one."""
    if "link" in visit.form:
        return _keep_link(visit, cookies.RESET, "/reset")
    token = visit.kept(cookies.RESET)
    if token is None:
        return visit.show("paste", heading="Choose a new password", path="/reset", what="link")
    with visit.entrance.database.as_accounts() as conn:
        reset = invitations.find_reset(conn, token)
    if reset is None:
        return _refuse_link(visit, cookies.RESET, invitations.refused_reset())
    if not visit.is_posted:
        return visit.show("reset", email=reset.email)
    try:
        signing_in.reset_password(visit.entrance.database, token, visit.ask("password"))
    except CorpuscopeError as error:
        return visit.show("reset", email=reset.email, error=error)
    response = go_to("/sign-in?done=reset")
    response.headers.append("set-cookie", visit.entrance.drop(cookies.RESET))
    response.headers.append("set-cookie", visit.entrance.drop(cookies.SESSION))
    return response


def _keep_link(visit: Visit, cookie: str, path: str) -> Response:
    """Move a link's secret, or what somebody pasted of the link, into a cookie."""
    token = visit.ask("link").strip().rpartition("#")[2][:_LONGEST_TOKEN]
    response = go_to(path)
    if token.isascii() and token.isprintable() and token:
        response.headers.append("set-cookie", visit.entrance.cookie(cookie, token, lasts=_LINK_LASTS))
    return response


def _refuse_link(visit: Visit, cookie: str, error: CorpuscopeError) -> Response:
    response = visit.show("refused", status=410, error=error)
    response.headers.append("set-cookie", visit.entrance.drop(cookie))
    return response
