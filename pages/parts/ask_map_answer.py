"""The chat's answer to the question on the map: ask for one, watch it come, and ring what it cites."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

import streamlit as st

from pages.parts.answers import PHASE_WORDS
from pages.parts.citations import answer_markdown
from pages.parts.session import connect
from pages.parts.words import ago, count, guarded, show_error
from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, list_chats, read_answer
from rag.corpus.limits import describe_left, my_limits, tightest
from rag.corpus.progress import read_worker_status
from rag.errors import CorpuscopeError, NotFound
from rag.mapping.asking import Asked
from rag.mapping.cited_places import CitedPlace, GivenAnswer, cited_places, latest_answer
from rag.mapping.maps import CorpusMap
from rag.retrieval.profiles import RetrievalProfile

_CHATS = "ask_map_chats"


@dataclass(frozen=True)
class Answered:
    """The person's latest answer to the question; nothing is cited before it is complete."""

    given: GivenAnswer | None = None
    message: Message | None = None
    cited: list[CitedPlace] = field(default_factory=list)

    @property
    def chunks(self) -> set[int]:
        """The chunks of the map's index that it cites."""
        return {one.chunk_id for one in self.cited if one.chunk_id is not None}


def read_answered(map_: CorpusMap, question: str) -> Answered:
    """Look for it in the person's chats about the collection."""
    with connect() as conn:
        given = latest_answer(conn, map_.collection_id, question)
        if given is None or not given.finished:
            return Answered(given)
        try:
            message = read_answer(conn, given.message_id)
        except NotFound:
            return Answered()
        return Answered(given, message, cited_places(conn, map_.id, given.message_id))


def show_answer(map_: CorpusMap, question: str, profile: RetrievalProfile, asked: Asked, answered: Answered) -> None:
    """The answer, folded away, with what these settings would do to it; or how far it is."""
    given = answered.given
    if given is not None and not given.finished:
        st.fragment(_watch, run_every=1.0, key="ask-map-watch")(map_, question, given)
    if given is None or answered.message is None:
        return
    for sentence in citation_notes(asked, answered):
        st.caption(sentence)
    with st.expander(_headline(given, answered, profile), icon=":material/forum:", key="ask-map-answer"):
        with st.container(key=f"answer-{given.message_id}"):
            st.markdown(answer_markdown(answered.message))
        st.page_link(
            "pages/chat.py",
            label="Open in Chat",
            icon=":material/open_in_new:",
            query_params={"collection": str(map_.collection_id), "chat": str(given.chat_id)},
        )


def _headline(given: GivenAnswer, answered: Answered, profile: RetrievalProfile) -> str:
    words = f"Answered {ago(given.asked_at)} · {count(len(answered.cited), 'passage')} cited"
    if given.profile is not None and given.profile != profile.to_json():
        words += " · under other settings than these"
    return words


def citation_notes(asked: Asked, answered: Answered) -> list[str]:
    """Sentences on what was cited and doesn't come back under the settings now, and on what has no point."""
    back = {hit.hit.chunk_id for hit in asked.returned}
    notes = []
    if lost := len(answered.chunks - back):
        which = "A cited passage doesn't" if lost == 1 else f"{lost:,} cited passages don't"
        notes.append(f":material/block: {which} come back under these settings.")
    if off := sum(one.point is None for one in answered.cited):
        which = "A cited passage is" if off == 1 else f"{off:,} cited passages are"
        notes.append(f"{which} not on this map.")
    return notes


def answer_button(map_: CorpusMap, question: str, profile: RetrievalProfile, answered: Answered) -> None:
    """Asks for an answer under these settings; not while one is being written, nor without a question left today."""
    given = answered.given
    with connect() as conn:
        left = tightest(my_limits(conn, map_.collection_id), "questions today")
    none_left = left is not None and left.left == 0
    st.button(
        "Answer" if given is None else "Answer again",
        icon=":material/forum:",
        key="ask_map_answer",
        on_click=_start,
        args=(map_, question, profile),
        disabled=none_left or (given is not None and not given.finished),
        help="Has the chat answer this under these settings, and rings on the map what the answer cites."
        + (f" {describe_left([left])}" if left is not None else "")
        + (" Days end at midnight UTC." if none_left else ""),
    )


def _start(map_: CorpusMap, question: str, profile: RetrievalProfile) -> None:
    """Callback: in a chat of its own, the same one each time that this session has it answered again."""
    chats: dict[tuple[UUID, str], UUID] = st.session_state.setdefault(_CHATS, {})
    here = map_.collection_id, question
    try:
        with connect() as conn:
            if here not in chats or all(chat.id != chats[here] for chat in list_chats(conn, map_.collection_id)):
                chats[here] = create_chat(conn, map_.collection_id)
            ask(conn, chats[here], question, profile.to_json())
    except CorpuscopeError as error:
        chats.pop(here, None)
        show_error(error)


@guarded
def _watch(map_: CorpusMap, question: str, given: GivenAnswer) -> None:
    with connect() as conn:
        now = latest_answer(conn, map_.collection_id, question)
        alive = read_worker_status(conn).alive
    if now is None or now.finished or now.message_id != given.message_id:
        st.rerun()
    st.markdown(f":shimmer[**{PHASE_WORDS.get(now.phase, now.phase)}**]")
    if not alive:
        st.caption("No worker is running: the answer waits until one does.")
