"""A conversation of Alice's, Bob and Carol beside her, and answers that end at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.chat import answer_rows
from rag.chat.chat_records import Message, Phase
from rag.chat.chats import ask, create_chat, list_chats, list_messages
from rag.chat.conversations import list_collections
from rag.chat.participants import participants, share_chat
from rag.corpus.collections import create_collection
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.townsfolk import open_account, run_as_owner

CAROL = UUID("cccccccc-0000-4000-8000-000000000003")
DAVE = UUID("dddddddd-0000-4000-8000-000000000004")


class Circle:
    """Alice's collections `one` and `two`; Bob may view both, Carol the first, Dave neither."""

    def __init__(self, database: Database) -> None:
        self.database = database
        for person, name in ((ALICE, "Alice"), (BOB, "Bob"), (CAROL, "Carol"), (DAVE, "Dave")):
            open_account(database, f"{name.lower()}@example.org", id=person)
            run_as_owner(database, "update corpuscope.people set name = %s where user_id = %s", name, person)
        with database.as_worker() as conn:
            conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
        with database.as_user(ALICE) as conn:
            self.one, self.two = create_collection(conn, "One"), create_collection(conn, "Two")
        self.join(self.one, BOB)
        self.join(self.one, CAROL)
        self.join(self.two, BOB)

    def join(self, collection: UUID, person: UUID) -> None:
        run_as_owner(
            self.database,
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            collection,
            person,
        )

    def expel(self, collection: UUID, person: UUID) -> None:
        run_as_owner(
            self.database,
            "delete from public.collection_members where collection_id = %s and user_id = %s",
            collection,
            person,
        )

    def chat(self, *people: UUID) -> UUID:
        """A new conversation about `one`, shared with these."""
        with self.database.as_user(ALICE) as conn:
            chat = create_chat(conn, self.one)
            if people:
                share_chat(conn, chat, people)
        return chat

    def ask(self, chat: UUID, person: UUID = ALICE, question: str = "Why?", **options: Any) -> UUID:
        """The id of the answer to come."""
        with self.database.as_user(person) as conn:
            return ask(conn, chat, question, **options)

    def messages(self, chat: UUID, person: UUID = ALICE) -> list[Message]:
        with self.database.as_user(person) as conn:
            return list_messages(conn, chat)

    def begin(self, answer: UUID) -> answer_rows.Attempt | None:
        with self.database.as_worker() as conn:
            return answer_rows.begin_attempt(conn, answer)

    def finish(self, answer: UUID, phase: Phase = "complete") -> None:
        """What a worker does with its turn."""
        attempt = self.begin(answer)
        assert attempt is not None
        with self.database.as_worker() as conn:
            answer_rows.end_attempt(conn, attempt, phase, [])

    def jobs(self) -> list[UUID]:
        """The answers that workers were sent since the last look."""
        with self.database.as_worker() as conn:
            rows = conn.execute("select (message ->> 'message')::uuid from pgmq.q_answer order by msg_id").fetchall()
            conn.execute("delete from pgmq.q_answer")
        return [row[0] for row in rows]

    def sees(self, chat: UUID, person: UUID) -> bool:
        """Whether somebody sees the conversation, in which something was asked: everything of it or nothing."""
        with self.database.as_user(person) as conn:
            found = {
                "chats": any(one.id == chat for one in list_chats(conn)),
                "participants": participants(conn, chat) != [],
                "collections": list_collections(conn, chat) != [],
                "messages": conn.execute("select from public.messages where chat_id = %s", [chat]).rowcount > 0,
            }
        assert len(set(found.values())) == 1, found
        return found["chats"]

    def refuse(self, person: UUID, act: Callable[[Connection[Any]], object]) -> None:
        """Somebody has no right to that."""
        with pytest.raises((NotAllowed, NotFound)), self.database.as_user(person) as conn:
            act(conn)

    def tell_alice(self, act: Callable[[Connection[Any]], object]) -> InvalidInput:
        """Why Alice can't do that."""
        with pytest.raises(InvalidInput) as refusal, self.database.as_user(ALICE) as conn:
            act(conn)
        return refusal.value
