"""The frame around every page: title, favicon, style sheet, logo and navigation."""

from __future__ import annotations

from html import escape
from pathlib import Path

import streamlit as st

from pages.parts.guard import is_guarded
from pages.parts.visit import find_identity, show_ended
from pages.parts.words import plain, show_error
from rag.auth.identity import Identity
from rag.errors import DatabaseError

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"

#: Set once st.navigation ran in this process. Until then Streamlit finds pages/*.py by itself and runs one without
#: app.py when its address is opened first (see ``pages.parts.session.require_user``).
_navigated = False


#: Seconds after which a page that nobody touches notices at the latest that its session has ended. Each look costs the
#: app about 8 ms: with 50 open pages one every 4 s would take a tenth of a core, for pages at which nothing happens.
_WATCH_S = 15


def open_frame() -> st.Page:
    """Page config, styles, logo, navigation and who is signed in, on every run before anything may stop the script.

    Returns the page that was asked for. Where the session has ended, it says so and stops. The favicon comes first:
    without it the browser would fetch the page's icon from outside.
    """
    global _navigated
    _navigated = True
    st.set_page_config(
        page_icon=str(STATIC / "favicon.png"),
        layout="wide",
        menu_items={"About": "**Corpuscope**: look inside your corpus."},
    )
    identity, problem = _find_visitor()
    page = st.navigation(_pages(identity), position="sidebar" if identity else "hidden")
    st.set_page_config(page_title=f"{page.title} · Corpuscope")
    st.html(Path(__file__).with_name("style.css"))
    st.logo(str(STATIC / "logo.svg"), icon_image=str(STATIC / "mark.svg"), size="large")
    if problem is not None:
        show_error(problem)
        st.stop()
    if identity is None:
        show_ended()
        st.stop()
    if is_guarded():
        with st.sidebar:
            _show_visitor(identity)
    return page


def _find_visitor() -> tuple[Identity | None, DatabaseError | None]:
    try:
        return find_identity(again=True), None
    except DatabaseError as problem:
        return None, problem


def _pages(identity: Identity | None) -> dict[str, list[st.Page]]:
    member = identity is not None and not identity.is_guest
    administrator = identity is not None and identity.is_administrator and is_guarded()
    sections = {
        "Corpus": [
            st.Page(_go_to_documents, title="Corpuscope", url_path="home", default=True, visibility="hidden"),
            _page("documents", "Documents", ":material/description:"),
            _page("document", "Document", ":material/article:", visible=False),
            _page("explore", "Explore", ":material/scatter_plot:"),
            _page("health", "Health", ":material/health_and_safety:"),
        ],
        "Ask": [
            _page("search", "Search lab", ":material/search:"),
            _page("chat", "Chat", ":material/forum:"),
        ],
        "Measure": [
            _page("evaluate", "Evaluate", ":material/checklist:"),
            _page("indexes", "Indexes", ":material/layers:"),
        ],
        "Admin": [_page("operations", "Operations", ":material/monitor_heart:", visible=member)],
    }
    if _exists("administration"):
        sections["Admin"].append(
            _page("administration", "Administration", ":material/admin_panel_settings:", visible=administrator)
        )
    if _exists("account"):
        sections["Admin"].append(_page("account", "Account", ":material/person:", visible=False))
    return sections


def _exists(name: str) -> bool:
    return (ROOT / "pages" / f"{name}.py").exists()


@st.fragment(run_every=_WATCH_S)
def _show_visitor(identity: Identity) -> None:
    """Who is signed in and the way out, under the navigation; it also notices that the session has ended."""
    if find_identity() is None:
        st.rerun()
    with st.container(key="visitor"), st.popover(plain(identity.label), icon=":material/person:", width="stretch"):
        if identity.is_guest:
            st.html('<p class="cs-quiet">You look around as a guest.</p>')
            st.html('<a class="cs-button" target="_self" href="/sign-in">Sign in</a>')
        else:
            role = "<br>Administrator" if identity.is_administrator else ""
            st.html(f'<p class="cs-quiet cs-visitor">{escape(identity.email)}{role}</p>')
            if _exists("account"):
                st.page_link(ROOT / "pages" / "account.py", label="Account", icon=":material/manage_accounts:")
        out = "Leave" if identity.is_guest else "Sign out"
        st.html(f'<form method="post" action="/sign-out"><button class="cs-button" type="submit">{out}</button></form>')


def _go_to_documents() -> None:
    """The bare address. A page that is the default has no address of its own, and /documents is meant to be shared."""
    st.switch_page(ROOT / "pages" / "documents.py", query_params=st.query_params.to_dict())


def navigated() -> bool:
    """Whether st.navigation has run in this process."""
    return _navigated


_HELP = {
    "documents": "Upload files and watch them become searchable.",
    "document": "The text of one document as search sees it: chunks, marks, corrections.",
    "explore": "The corpus as a map: look, ask, select and curate.",
    "health": "Near-duplicates, boilerplate and what else is worth a look.",
    "search": "Find passages, see what each setting does, and save what works.",
    "chat": "Ask questions and read answers that quote their sources.",
    "evaluate": "Questions with known answers, and what search scores on them.",
    "indexes": "Versions of a collection under another model or chunking, built and swapped without a gap.",
    "operations": "Workers, queues, versions and failed work.",
    "account": "Your password, your sessions and what is left of your limits.",
    "administration": "People, invitations, sessions and limits of this installation.",
}


def _page(name: str, title: str, icon: str, *, visible: bool = True) -> st.Page:
    return st.Page(
        ROOT / "pages" / f"{name}.py",
        title=title,
        icon=icon,
        url_path=name,
        visibility="visible" if visible else "hidden",
        help=_HELP[name],
    )
