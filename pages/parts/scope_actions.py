"""What can be done with selected passages: chat only with them, have questions drafted, save them under a name."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.parts.notices import notify
from pages.parts.question_drafts import describe_writer
from pages.parts.question_picker import may_edit
from pages.parts.scope_menu import ask_name
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain, show_error
from rag.errors import CorpuscopeError
from rag.evaluation.draft_requests import MOST, request_drafts
from rag.evaluation.question_sets import QuestionSet, create_set, list_sets
from rag.records import Collection
from rag.retrieval.scopes import Stretch, describe_size, make_scope

_USUAL = 20
#: Stands in the picker of sets for one that is made with the request.
_NEW = 0


def chat_only_with(collection: Collection, spans: Sequence[Stretch]) -> None:
    """Go to the chat, where a conversation begins that is bound to these spans."""
    try:
        with connect() as conn:
            scope = make_scope(conn, collection.id, None, spans)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.switch_page("pages/chat.py", query_params={"collection": str(collection.id), "scope": str(scope)})


@st.dialog("Draft questions from these")
@guarded
def draft_questions_from(collection: Collection, spans: Sequence[Stretch]) -> None:
    """Ask for questions about these spans, into a set that is chosen, and go where one sees them come.

    A dialog: call it when the button was pressed. Viewers are told that editors can.
    """
    if not may_edit(collection):
        st.caption("Owners and editors of this collection can have questions drafted.")
    elif query := show_drafting(collection, spans):
        st.switch_page("pages/evaluate.py", query_params=query)


def show_drafting(collection: Collection, spans: Sequence[Stretch]) -> dict[str, str]:
    """What the dialog holds; once they were asked for, the query parameters of the page that shows them come."""
    passages, documents = len(spans), len({span.document_id for span in spans})
    st.markdown(f"About **{describe_size(passages, documents)}**. {describe_writer()}")
    with connect() as conn:
        sets = {one.id: one for one in list_sets(conn, collection.id)}
    chosen, name = _choose_set(sets)
    wanted = st.number_input("How many", 1, MOST, max(1, min(_USUAL, passages)), key="scope_drafts_wanted", width=140)
    st.caption("Each is a draft with the passage that answers it, and counts only once somebody has accepted it.")
    if not st.button("Draft questions", type="primary", icon=":material/edit_note:", key="scope_draft"):
        return {}
    with connect() as conn:
        target = chosen or create_set(conn, collection.id, name)
        request_drafts(conn, target, int(wanted), make_scope(conn, collection.id, None, spans))
    notify(f"{count(int(wanted), 'question')} will be drafted: watch them come here.", icon="edit_note")
    return {"collection": str(collection.id), "section": "questions", "set": str(target)}


def _choose_set(sets: dict[int, QuestionSet]) -> tuple[int, str]:
    """The set's id and, for a new one, its name."""
    chosen: int = st.selectbox(
        "Set of questions",
        [*sets, _NEW],
        format_func=lambda key: sets[key].name if key in sets else "A new set",
        key="scope_draft_set",
    )
    if chosen != _NEW:
        return chosen, ""
    return chosen, st.text_input("Its name", value="Drafted questions", max_chars=80, key="scope_draft_name")


@st.dialog("Save this selection")
@guarded
def save_selection(collection: Collection, spans: Sequence[Stretch]) -> None:
    """Give the spans a name, under which the Search lab and the command line find them again. A dialog."""
    show_saving(collection, spans)


def show_saving(collection: Collection, spans: Sequence[Stretch]) -> None:
    """What the dialog holds."""
    if not may_edit(collection):
        st.caption("Owners and editors of this collection can save selections for everybody who may see it.")
        return
    st.caption("It names passages, not chunks: it stays the same when the collection is indexed anew.")
    if (name := ask_name()) is None:
        return
    try:
        with connect() as conn:
            make_scope(conn, collection.id, name, spans)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify(f"Saved as “{plain(name)}”: the Search lab has it beside the collection.", icon="bookmark_added")
    st.rerun()
