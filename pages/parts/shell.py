"""The frame around every page: title, favicon, style sheet, logo and navigation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "static"

#: Set once st.navigation ran in this process. Until then Streamlit finds pages/*.py by itself and runs one without
#: app.py when its address is opened first (see ``pages.parts.session.require_user``).
_navigated = False


def open_frame() -> st.Page:
    """Page config, styles, logo and navigation, on every run before anything may stop the script.

    Returns the page that was asked for. The favicon comes first: without it the browser would fetch the page's icon
    from outside.
    """
    global _navigated
    _navigated = True
    st.set_page_config(
        page_icon=str(STATIC / "favicon.png"),
        layout="wide",
        menu_items={"About": "**Corpuscope**: look inside your corpus."},
    )
    page = st.navigation(_pages())
    st.set_page_config(page_title=f"{page.title} · Corpuscope")
    st.html(Path(__file__).with_name("style.css"))
    st.logo(str(STATIC / "logo.svg"), icon_image=str(STATIC / "mark.svg"), size="large")
    return page


def _pages() -> dict[str, list[st.Page]]:
    return {
        "Corpus": [
            st.Page(_go_to_documents, title="Corpuscope", url_path="home", default=True, visibility="hidden"),
            _page("documents", "Documents", ":material/description:"),
            _page("document", "Document", ":material/article:", visibility="hidden"),
        ],
        "Ask": [
            _page("search", "Search", ":material/search:"),
            _page("chat", "Chat", ":material/forum:"),
        ],
        "Admin": [_page("operations", "Operations", ":material/monitor_heart:")],
    }


def _go_to_documents() -> None:
    """The bare address. A page that is the default has no address of its own, and /documents is meant to be shared."""
    st.switch_page(ROOT / "pages" / "documents.py", query_params=st.query_params.to_dict())


def navigated() -> bool:
    """Whether st.navigation has run in this process."""
    return _navigated


_HELP = {
    "documents": "Upload files and watch them become searchable.",
    "document": "The text of one document as search sees it: chunks, marks, corrections.",
    "search": "Find passages, with the score of each method.",
    "chat": "Ask questions and read answers that quote their sources.",
    "operations": "Workers, queues, versions and failed work.",
}


def _page(name: str, title: str, icon: str, *, visibility: Literal["visible", "hidden"] = "visible") -> st.Page:
    return st.Page(
        ROOT / "pages" / f"{name}.py",
        title=title,
        icon=icon,
        url_path=name,
        visibility=visibility,
        help=_HELP[name],
    )
