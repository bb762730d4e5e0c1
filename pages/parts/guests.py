"""Guests: people without an account, who read, search and ask what is public."""

from __future__ import annotations

import streamlit as st

from pages.parts.session import require_user


def is_guest() -> bool:
    """Whether whoever looks at this page has no account."""
    return require_user().is_guest


def nothing_public() -> None:
    """For a guest where there is no public collection (any more)."""
    st.caption("There is nothing here that is public. If you have an account, sign in to see what is yours.")


def guest_note() -> None:
    """Tells guests that they are, and where to sign in; nothing for anybody else."""
    if is_guest():
        st.html(
            '<p class="cs-quiet cs-guest">You are here as a guest: you can read, search and ask. '
            '<a target="_self" href="/sign-in">Sign in</a> to do more.</p>'
        )
