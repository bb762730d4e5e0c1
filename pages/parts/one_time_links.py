"""Links that work once, shown once. The secret is in no session state, and in a part of the address that isn't sent."""

from __future__ import annotations

from html import escape
from typing import Literal
from urllib.parse import quote, urlsplit

import streamlit as st

from pages.parts.confirmation import close_dialog
from pages.parts.product import product


def link_address(path: Literal["join", "reset"], token: str) -> str:
    """The link with the token in its fragment, which no server and no log on the way gets to see."""
    public = product().settings.public_url
    if not public:
        here = urlsplit(st.context.url or "http://127.0.0.1:8501")
        public = f"{here.scheme}://{here.netloc}"
    return f"{public.rstrip('/')}/{path}#{token}"


def show_link(address: str, *, whom: str, words: str, email: str | None, subject: str, letter: str) -> None:
    """The link to copy, or to send in an e-mail that begins with ``letter``. ``words`` say for how long it is good."""
    st.html(f'<div class="cs-head"><span>The link for <b>{escape(whom)}</b></span></div>')
    st.code(address, language=None, wrap_lines=True)
    st.caption(f"{words} Copy it now: it is not shown again.")
    body = quote(f"{letter}\n\n{address}\n")
    with st.container(horizontal=True, horizontal_alignment="right"):
        target = f"mailto:{quote(email or '')}?subject={quote(subject)}&body={body}"
        st.link_button("Write an e-mail", target, icon=":material/mail:")
        st.button("Done", key="link_done", type="primary", on_click=close_dialog)
