"""Invitations into the installation: who is asked in, which are open, and the link, shown once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import streamlit as st

from pages.parts.confirmation import Act, close_dialog, confirm, open_dialog
from pages.parts.one_time_links import link_address, show_link
from pages.parts.product import settings
from pages.parts.session import connect
from pages.parts.words import ago, count, plain, show_error, to_local
from rag.auth.administration import InvitationRow, invite_person, list_invitations, revoke_invitation
from rag.errors import CorpuscopeError

#: Invitations that are listed.
MOST = 50


def show_invitations() -> None:
    """The tab: those that nobody used yet."""
    with connect() as conn:
        invitations = list_invitations(conn)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{count(len(invitations), 'invitation')} that nobody used yet", width="stretch")
        invite_button("invite_here")
    if not invitations:
        st.caption("Whoever is invited gets a link that makes one account. Links work once, for a week.")
        return
    with st.container(border=True, gap="small", key="invitations"):
        for invitation in invitations[:MOST]:
            _row(invitation)
        if len(invitations) > MOST:
            st.caption(f"and {len(invitations) - MOST:,} older ones")


def invite_button(key: str) -> None:
    """Opens the dialog that invites."""
    if st.button("Invite", icon=":material/person_add:", type="primary", key=key):
        st.session_state["invite_email"] = ""
        st.session_state["invite_administrator"] = False
        open_dialog("Invite somebody", "person_add", show_invite_form)


def _row(invitation: InvitationRow) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        by = f"by {escape(invitation.invited_by)}, " if invitation.invited_by else ""
        until = to_local(invitation.expires_at)
        quiet = f'<span class="cs-quiet">{by}{ago(invitation.created_at)}</span>'
        st.html(f'<div class="cs-head"><b>{escape(whom(invitation))}</b>{quiet}</div>', width="stretch")
        st.badge(into(invitation), color="blue" if invitation.as_administrator else "gray")
        st.caption(f"until {until.day} {until:%b}", width="content")
        if st.button("Revoke", key=f"revoke-{invitation.id}", type="tertiary", icon=":material/link_off:"):
            confirm(revoking(invitation))


def whom(invitation: InvitationRow) -> str:
    """For whom the link is."""
    return invitation.email or "Whoever has the link"


def into(invitation: InvitationRow) -> str:
    """What the link gives, in a few words."""
    if invitation.as_administrator:
        return "Administrator"
    if invitation.collection_name:
        return f"{(invitation.role or 'viewer').capitalize()} of {plain(invitation.collection_name)}"
    return "Member"


def revoking(invitation: InvitationRow) -> Act:
    """Make an invitation useless."""
    return Act(
        "Revoke this invitation?",
        [
            f"The link for **{plain(whom(invitation))}** stops working at once.",
            "Nobody is told. You can invite the same person again, with a new link.",
        ],
        "Revoke",
        partial(revoke_invitation, invitation_id=invitation.id),
        "The invitation doesn't work any more.",
        icon="link_off",
    )


def show_invite_form() -> None:
    """Inside the dialog: for whom and what it will mean, then in its place the link."""
    place = st.empty()
    with place.container():
        email = st.text_input(
            "E-mail address", key="invite_email", placeholder="Empty: for whoever has the link", max_chars=320
        )
        administrator = st.toggle("As administrator", key="invite_administrator")
        address = (email or "").strip()
        st.markdown("\n".join(f"- {effect}" for effect in foresee_invitation(address, administrator)))
        with st.container(horizontal=True, horizontal_alignment="right"):
            st.button("Keep as it is", key="invite_keep", on_click=close_dialog)
            wanted = st.button("Make the invitation", key="invite_make", type="primary", icon=":material/person_add:")
    if wanted:
        try:
            with connect() as conn:
                token = invite_person(conn, address or None, administrator)
        except CorpuscopeError as problem:
            show_error(problem)
            return
        with place.container():
            show_link(
                link_address("join", token),
                whom=address or "whoever opens it first",
                words="It works once, for a week.",
                email=address,
                subject="Your account for Corpuscope",
                letter="With this link you make your account in Corpuscope. It works once, for a week.",
            )


_WAYS = {"oidc": "with the provider", "supabase": "of the Supabase project"}


def foresee_invitation(address: str, administrator: bool) -> Sequence[str]:
    """What the invitation will give, and to whom."""
    who = plain(address) if address else "whoever opens the link first"
    way = _WAYS.get(settings().auth, "with a password of their own")
    effects = [f"One account for **{who}**, {way}. No e-mail is sent: you pass the link on."]
    if administrator:
        effects.append(
            "They will be **administrator**: see all people and the activity, and close accounts, yours too."
        )
    else:
        effects.append("They can make collections, and see those that are public or that somebody shares with them.")
    return effects
