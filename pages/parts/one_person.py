"""What an installation without sign-in is, and how to get one with it."""

from __future__ import annotations

import streamlit as st


def describe_one_person() -> None:
    """For pages about people where there is one."""
    st.info(
        "This installation has one person, who works without signing in: everybody who reaches it is you.  \n"
        "Start it with `AUTH=local` for accounts with e-mail address and password, with `AUTH=oidc` for an OpenID "
        "provider, or with `AUTH=supabase` for the accounts of a Supabase project. The first to sign in takes over "
        "everything that is here, and invites the others; then there are people, invitations, sessions and sharing.",
        icon=":material/person:",
    )
