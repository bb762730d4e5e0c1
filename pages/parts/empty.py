"""Empty states: what this page is for and the next step, instead of a blank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import streamlit as st

from pages.parts.collection_dialogs import try_sample
from pages.parts.guests import is_guest, nothing_public
from pages.parts.progress_bar import describe_hindrance
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain
from rag.corpus.progress import Progress, read_progress
from rag.corpus.samples import SAMPLE_NAME, SAMPLE_QUESTIONS
from rag.records import Collection


@contextmanager
def empty_state(title: str, text: str, *, icon: str, key: str) -> Iterator[None]:
    """A quiet panel with a heading and one or two sentences; the body of the ``with`` adds the ways on."""
    with st.container(border=True, key=f"empty-{key}", horizontal_alignment="center", gap="small"):
        with st.container(key=f"empty-icon-{key}", width="content"):
            st.markdown(f":blue[:material/{icon}:]")
        st.markdown(f"**{title}**", text_alignment="center", width="content")
        st.caption(text, text_alignment="center", width="content")
        yield


def no_documents(purpose: str, collection: Collection | None) -> None:
    """For pages that need documents: where to get some."""
    if is_guest():
        nothing_public()
        return
    where = f"{plain(collection.name)} has no documents yet" if collection else "There is no collection yet"
    verb = {
        "search": "Search finds passages",
        "explore": "Explore shows the passages",
        "chat": "Chat answers questions",
        "evaluate": "Evaluate measures search",
        "health": "Health looks for what is worth a look",
    }[purpose]
    with (
        empty_state(
            where,
            f"{verb} in the documents of a collection. Upload some first, or try the sample.",
            icon="library_books",
            key=purpose,
        ),
        st.container(horizontal=True, horizontal_alignment="center"),
    ):
        if st.button("Try the sample corpus", type="primary", icon=":material/play_circle:", key="sample"):
            try_sample()
        if st.button("Upload documents", icon=":material/upload_file:", key="to_documents"):
            st.switch_page("pages/documents.py")


def not_ready(collection: Collection) -> None:
    """For pages that need chunks while the first documents are still being read: watches and starts over."""
    st.fragment(_watch_first_chunks, run_every=1, key="first-chunks")(collection)


@guarded
def _watch_first_chunks(collection: Collection) -> None:
    with connect() as conn:
        progress = read_progress(conn, collection.id)
    if progress.embedded_total:
        st.rerun()
    if not progress.unfinished:
        _nothing_came_of_it(progress)
        return
    with empty_state(
        ":shimmer[The first documents are being read]",
        f"{count(progress.unfinished, 'document')} to go. This page opens by itself as soon as one can be searched.",
        icon="hourglass_top",
        key="not-ready",
    ):
        if hindrance := describe_hindrance(progress):
            st.warning(hindrance, icon=":material/pause_circle:")


def _nothing_came_of_it(progress: Progress) -> None:
    failed = progress.stages["failed"]
    text = f"{count(failed, 'document')} could not be read; the Documents page says why." if failed else ""
    with empty_state("Nothing can be searched here yet", text, icon="hourglass_empty", key="not-ready"):
        st.page_link("pages/documents.py", label="Go to Documents", icon=":material/arrow_forward:")


def sample_questions(
    collection: Collection, *, key: str, on_click: Callable[[str], None], centred: bool = False
) -> None:
    """Before the first question to the sample corpus: what to try. ``on_click`` is a callback with the question."""
    if collection.name != SAMPLE_NAME:
        return
    st.caption("Questions that the sample corpus answers", width="content")
    alignment: Literal["left", "center"] = "center" if centred else "left"
    with st.container(horizontal=True, horizontal_alignment=alignment, key=f"samples-{key}"):
        for number, question in enumerate(SAMPLE_QUESTIONS):
            st.button(question, key=f"sample-{key}-{number}", wrap=True, on_click=on_click, args=(question,))
