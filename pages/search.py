"""Search lab: a question, the settings of a profile, and the ranked passages with what each stage says of them."""

from __future__ import annotations

import streamlit as st

from pages.parts.confirmation import show_refusal
from pages.parts.empty import no_documents, not_ready
from pages.parts.lab import show_lab
from pages.parts.lab_address import View
from pages.parts.lab_desk import Desk, open_desk
from pages.parts.lab_scope import pick_scope
from pages.parts.lab_state import follow_address, take_up
from pages.parts.picker import page_header
from pages.parts.session import require_database, require_user
from pages.parts.words import plain
from rag.records import Collection

opened: list[tuple[Desk, View, list[str]]] = []


def open_lab(collection: Collection) -> None:
    """Read what the page needs, and draw into its header where to look."""
    if collection.document_count:
        view, problems = follow_address(collection.id)
        desk, view, missing = open_desk(collection, view)
        opened.append((desk, view, problems + missing))
        pick_scope(desk, view)


require_user()
require_database()
chosen = page_header("Search lab", open_lab)
show_refusal()
if not opened:
    no_documents("search", chosen)
for desk, view, problems in opened:
    for problem in problems:
        st.warning(plain(problem), icon=":material/link_off:")
    if not desk.progress.embedded_total:
        not_ready(desk.collection)
    else:
        take_up(view, desk)
        show_lab(desk, view)
