"""Conversations and answers as Markdown files, and as text for the clipboard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import streamlit as st

from pages.parts.addresses import span_address
from pages.parts.downloads import file_name, handing_out
from pages.parts.markdown import sanitise
from pages.parts.words import to_local
from rag.chat.branches import thread
from rag.chat.chat_records import Chat, Message, Passage
from rag.chat.chats import list_messages, read_answer
from rag.chat.conversations import list_collections
from rag.chat.transcripts import Address, answer_markdown, conversation_markdown
from rag.corpus.audit import note_export


def export_button(chat: Chat, at: UUID | None) -> None:
    """The branch that leads through ``at`` (None: the newest) as a Markdown file, with all its sources."""
    address, now = _addresses(), to_local(datetime.now(UTC))

    def make(conn: psycopg.Connection[Any]) -> bytes:
        asked = list_collections(conn, chat.id)
        for other in asked:
            if not other.is_home:
                note_export(conn, other.id, "a conversation that quotes it")
        shown = [_clean(message) for message in thread(list_messages(conn, chat.id), at)]
        return conversation_markdown(chat.title, [one.name for one in asked], shown, now, address).encode()

    st.download_button(
        "Export",
        handing_out(chat.collection_id, "a conversation", make),
        file_name("chat", chat.title, extension="md"),
        "text/markdown",
        icon=":material/download:",
        key="export_chat",
        on_click="ignore",
        help="This conversation as Markdown, each answer with its sources. Of branches, the one that is shown.",
    )


def answer_export_button(chat: Chat, message: Message) -> None:
    """One answer as a Markdown file."""
    address = _addresses()

    def make(conn: psycopg.Connection[Any]) -> bytes:
        return answer_markdown(_clean(read_answer(conn, message.id)), address).encode()

    st.download_button(
        "Save this answer as Markdown",
        handing_out(chat.collection_id, "an answer", make),
        file_name("answer", chat.title, extension="md"),
        "text/markdown",
        icon=":material/download:",
        key=f"export-{message.id}",
        on_click="ignore",
        type="tertiary",
    )


def text_to_copy(message: Message) -> str:
    """What the clipboard gets of an answer: its Markdown with the sources below."""
    return answer_markdown(_clean(message), _addresses()).strip()


def _clean(message: Message) -> Message:
    """Without images and links, which whatever opens the file would fetch: as on the page."""
    return message if message.role == "user" else replace(message, content=sanitise(message.content))


def _addresses() -> Address:
    """Links to passages at the address that the page was opened under, which other programs can open too."""
    here = urlsplit(st.context.url or "")
    origin = f"{here.scheme}://{here.netloc}" if here.netloc else ""

    def address(passage: Passage, start: int, end: int) -> str:
        if passage.document_id is None or not origin:
            return ""
        return f"{origin}{span_address(passage.document_id, start, end)}"

    return address
