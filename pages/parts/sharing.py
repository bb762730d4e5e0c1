"""The dialog "Share": who has access to a collection, ways to let others in, and what was done there."""

from __future__ import annotations

from datetime import datetime, timedelta
from html import escape
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import streamlit as st

from pages.parts.activity import show_activity
from pages.parts.members import (
    LEFT,
    ROLES,
    act,
    ask_first,
    forget_question,
    list_members,
    show_confirmation,
    show_outcome,
)
from pages.parts.one_time_links import link_address
from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import guarded, plain, show_error, to_local
from rag.corpus.collections import get_collection
from rag.corpus.sharing import list_people_of, open_invitations, revoke, share, share_by_link
from rag.errors import CorpuscopeError
from rag.records import Collection, Role

_VIEWS = {"people": "People", "activity": "Activity"}

#: How long an invitation's link works, as the schema says.
LINK_DAYS = 7

NO_ACCOUNTS = (
    "This installation has one person, so there is nobody to share with. Start it with `AUTH=local` (people sign in "
    "with e-mail and password), `AUTH=oidc` (with an OpenID provider) or `AUTH=supabase` (with a project's accounts); "
    "everything here stays yours."
)


def share_dialog(collection: Collection) -> None:
    """Open the dialog; the page behind it starts over when it is closed, since roles may have changed."""
    forget_question()
    owned = collection.role == "owner"
    title = f"Share {plain(collection.name)}" if owned else f"Who has access to {plain(collection.name)}"
    st.dialog(title, width="medium", icon=":material/group:", on_dismiss="rerun")(show_sharing)(collection.id)


@guarded
def show_sharing(collection_id: UUID) -> None:
    """What is in the dialog. Everything is read anew at each of its runs."""
    if st.session_state.pop(LEFT, False):
        st.rerun()
    with connect() as conn:
        collection = get_collection(conn, collection_id)
    view = st.segmented_control(
        "View",
        list(_VIEWS),
        default="people",
        required=True,
        format_func=_VIEWS.__getitem__,
        key="sharing_view",
        label_visibility="collapsed",
    )
    with st.container(key=f"sharing-{view}"):  # of its own for each view, so that nothing of the other one lingers
        if view == "activity":
            show_activity(collection)
        else:
            show_people(collection)


def show_people(collection: Collection) -> None:
    """Who has access; for owners also how to change that."""
    alone = product().settings.auth == "none"
    may_share = collection.role == "owner" and not alone
    if alone:
        st.info(NO_ACCOUNTS, icon=":material/person:")
    show_outcome()
    if may_share:
        # Drawn first and run first, so that the lists under it show what it did. Its link is in no session state.
        _invite(collection)
    show_confirmation(collection)
    if collection.is_member:
        with connect() as conn:
            members = list_people_of(conn, collection.id)
        list_members(collection, members, may_share=may_share)
    if may_share:
        _show_invitations(collection)
    if not alone:
        _show_reach(collection)


def _invite(collection: Collection) -> None:
    """By e-mail address, or by a link for whoever has it."""
    with (
        st.form("share", border=False, clear_on_submit=True),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        email = st.text_input(
            "E-mail address", placeholder="name@example.org", key="share_email", max_chars=320, width="stretch"
        )
        role: Role = st.selectbox(
            "Role", list(ROLES), format_func=ROLES.__getitem__, key="share_role", width=130, help=_ROLE_HELP
        )
        submitted = st.form_submit_button("Share", type="primary", icon=":material/person_add:")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Or a link for whoever has it", width="content")
        viewer = st.button("Viewer link", icon=":material/link:", key="link_viewer", type="tertiary")
        editor = st.button("Editor link", icon=":material/link:", key="link_editor", type="tertiary")
    try:
        if submitted:
            _share_with(collection, email.strip(), role)
        elif viewer or editor:
            _make_link(collection, "viewer" if viewer else "editor")
    except CorpuscopeError as error:
        show_error(error)


_ROLE_HELP = (
    "**Viewers** read, search and ask. **Editors** also add, correct and delete documents. "
    "**Owners** also share, rename and delete the collection."
)


def _share_with(collection: Collection, email: str, role: Role) -> None:
    with connect() as conn:
        shared = share(conn, collection.id, email, role)
    if shared.token is None:
        words = "has access now" if shared.outcome == "added" else "had access already"
        st.success(f"{plain(email)} {words}, as {role}.", icon=":material/check_circle:")
        return
    _show_link(
        collection,
        shared.token,
        f"<b>{escape(email)}</b> has no account here yet. Send this link, which works for that address only:",
        email,
    )


def _make_link(collection: Collection, role: Literal["viewer", "editor"]) -> None:
    with connect() as conn:
        token = share_by_link(conn, collection.id, role)
    _show_link(collection, token, f"Whoever opens this link first becomes {role}:", "")


def _show_link(collection: Collection, token: str, words: str, email: str) -> None:
    """``words`` are HTML, since Markdown would make a link of an e-mail address."""
    address = invitation_address(token)
    with st.container(border=True, key="invitation-link", gap="small"):
        st.html(f'<div class="cs-head"><span>{words}</span></div>')
        st.code(address, language=None, wrap_lines=True)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            until = to_local(datetime.now().astimezone() + timedelta(days=LINK_DAYS))
            st.caption(
                f"It works once, until {until.day} {until:%B}. Copy it now: it is not shown again.", width="content"
            )
            st.link_button("Write an e-mail", _letter(email, collection, address), icon=":material/mail:")


def invitation_address(token: str) -> str:
    """The link that holds an invitation's token."""
    return link_address("join", token)


def _letter(email: str, collection: Collection, address: str) -> str:
    subject = f"Access to {collection.name}"
    body = f"This link opens the collection “{collection.name}” in Corpuscope. It works once.\n\n{address}\n"
    return f"mailto:{quote(email)}?subject={quote(subject)}&body={quote(body)}"


def _show_invitations(collection: Collection) -> None:
    with connect() as conn:
        invitations = open_invitations(conn, collection.id)
    if not invitations:
        return
    st.caption("Invitations that nobody used yet")
    with st.container(border=True, gap="small", key="open-invitations"):
        for invitation in invitations:
            with st.container(horizontal=True, vertical_alignment="center"):
                until = to_local(invitation.expires_at)
                who = escape(invitation.email or "Whoever has the link")
                st.html(f'<div class="cs-head">{who}</div>', width="stretch")
                st.caption(f"{ROLES[invitation.role]}, until {until.day} {until:%b}", width="content")
                st.button(
                    "Revoke",
                    key=f"revoke-{invitation.id}",
                    type="tertiary",
                    icon=":material/link_off:",
                    on_click=act,
                    args=(revoke, "The invitation doesn't work any more.", invitation.id),
                )


def _show_reach(collection: Collection) -> None:
    """Whether everybody may read it, and the way to change that."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="reach"):
        if collection.is_public:
            words = ":material/public: **Public**: everybody who reaches this installation can read it."
        else:
            words = ":material/lock: **Private**: only the people above can open it."
        st.markdown(words, width="stretch")
        if collection.role == "owner":
            what: Literal["private", "public"] = "private" if collection.is_public else "public"
            st.button(f"Make {what}", key="change_reach", on_click=ask_first, args=(what, collection.id))
    if not collection.is_member:
        st.caption("Who its members are is seen by members only.")
