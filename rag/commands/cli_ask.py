"""`corpuscope ask`: an answer as it is written, its citations last."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.chat import chats
from rag.chat.chat_records import Message
from rag.chat.feeds import Feed, tail_answer
from rag.commands.cli_output import Output
from rag.commands.cli_profiles import change_profile
from rag.commands.cli_scopes import named_scope
from rag.commands.cli_session import LOOK_S, Session, open_session
from rag.corpus.collections import find_collection
from rag.retrieval.stored_profiles import load_profile
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Ask in a chat of its own, which the Chat page shows as well; 1 if there is no answer in the end."""
    with open_session(settings, out) as session:
        with session.as_user() as conn:
            collection = find_collection(conn, arguments.collection)
            profile = _profile(conn, collection.id, arguments)
            chat = chats.create_chat(conn, collection.id, scope=named_scope(conn, collection.id, arguments.scope))
            message_id = chats.ask(conn, chat, arguments.question, profile)
        try:
            _follow(session, message_id)
        except KeyboardInterrupt:
            with session.as_user() as conn:
                chats.stop_answer(conn, message_id)
            raise
        with session.as_user() as conn:
            answer = chats.read_answer(conn, message_id)
    out.result(answer_as_json(answer), _text(answer))
    return 0 if answer.phase == "complete" else 1


def _profile(conn: Connection[Any], collection_id: UUID, arguments: Namespace) -> dict[str, Any] | None:
    """What to search under; None for the default as it is when the answer is made."""
    if arguments.profile is None and arguments.k is None and arguments.rerank is None:
        return None
    options = Namespace(mode=None, threshold=None, diversity=None, k=arguments.k, rerank=arguments.rerank)
    return change_profile(load_profile(conn, collection_id, arguments.profile), options).to_json()


def _follow(session: Session, message_id: UUID) -> None:
    feed = Feed(session.database)
    try:
        for event in tail_answer(session.as_user, feed, message_id, poll_s=LOOK_S):
            match event.kind:
                case "text":
                    session.out.clear()
                    session.out.write(event.text)
                case "restart":
                    session.out.write("\n")
                    session.out.say("The worker was lost; the answer starts again.")
                case "phase":
                    session.out.show(f"{event.phase.capitalize()}… {event.detail}".rstrip())
                case "waiting":
                    session.keep_worker()
    finally:
        feed.close()


def answer_as_json(answer: Message) -> dict[str, Any]:
    """The documented shape; ``start`` and ``end`` are the quote's characters in the document's text, end exclusive."""
    passages = {passage.number: passage for passage in answer.passages}
    cited = [(citation, passages[citation.number]) for citation in answer.citations if citation.number in passages]
    return {
        "answer": answer.content,
        "status": answer.phase,
        "kind": answer.kind,
        "model": answer.model,
        "error": answer.error,
        "citations": [
            {
                "number": citation.number,
                "document": passage.document,
                "title": passage.title,
                "page": passage.page,
                "start": citation.start,
                "end": citation.end,
                "quote": citation.quote,
            }
            for citation, passage in cited
        ],
    }


def _text(answer: Message) -> str:
    """What follows the streamed text."""
    if answer.phase != "complete":
        return f"\n{answer.error or 'The answer was stopped.'} {answer.error_hint or ''}".rstrip()
    lines = ["", ""]
    for citation in answer_as_json(answer)["citations"]:
        page = f", page {citation['page']}" if citation["page"] is not None else ""
        quote = textwrap.shorten(citation["quote"], 160, placeholder=" …")
        lines += [f"[{citation['number']}] {citation['document']}{page}: “{quote}”"]
    return "\n".join(lines)
