"""Three people do whatever they like in one conversation at once, and no answer is left without anybody to make it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection

from rag.chat import answer_rows
from rag.chat.answer_rows import Superseded
from rag.chat.chat_records import Phase
from rag.chat.chats import ask, delete_message, edit_question, regenerate_answer, retry_answer, stop_answer
from rag.errors import InvalidInput, LimitReached, NotAllowed
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, Circle

#: What the schema may say to whoever was too late, or may not. A deadlock is neither.
REFUSALS = (InvalidInput, LimitReached, NotAllowed)
ACTS = ("ask", "ask", "ask below", "ask below", "edit", "regenerate", "stop", "retry", "delete")


class Storm:
    def __init__(self, circle: Circle) -> None:
        self.circle = circle
        self.chat = circle.chat(BOB, CAROL)
        self.calm = threading.Event()
        self.done: Counter[str] = Counter()

    def take_part(self, person: UUID, seed: int) -> None:
        """Thirty acts in a row."""
        dice = random.Random(seed)
        for _ in range(30):
            act = dice.choice(ACTS)
            try:
                with self.circle.database.as_user(person) as conn:
                    self._act(conn, act, dice)
                self.done[act] += 1
            except REFUSALS:
                self.done["refused"] += 1

    def _act(self, conn: Connection[Any], act: str, dice: random.Random) -> None:
        rows = conn.execute(
            "select id, role, asked_by = auth.uid() from public.messages where chat_id = %s order by position",
            [self.chat],
        ).fetchall()
        answers = [row[0] for row in rows if row[1] == "assistant"]
        own = [row[0] for row in rows if row[1] == "user" and row[2]]
        if act == "ask" or not own:
            ask(conn, self.chat, "Why?")
        elif act == "ask below":
            ask(conn, self.chat, "Why?", parent=dice.choice(answers))
        elif act == "edit":
            edit_question(conn, dice.choice(own), "Why not?")
        elif act == "regenerate":
            regenerate_answer(conn, dice.choice(answers))
        elif act == "delete":
            delete_message(conn, dice.choice(answers[len(answers) // 2 :]))
        else:
            (stop_answer if act == "stop" else retry_answer)(conn, dice.choice(answers))

    def work(self) -> None:
        """Answer what there are jobs for, until everybody is done and no job is left."""
        while True:
            is_calm = self.calm.is_set()
            with self.circle.database.as_worker() as conn:
                job = conn.execute("select msg_id, message ->> 'message' from pgmq.read('answer', 60, 1)").fetchone()
            if job is not None:
                self._answer(UUID(job[1]))
                with self.circle.database.as_worker() as conn:
                    conn.execute("select pgmq.delete('answer', %s::bigint)", [job[0]])
            elif is_calm:
                return

    def _answer(self, message: UUID) -> None:
        try:
            attempt = self.circle.begin(message)
            if attempt is not None:
                with self.circle.database.as_worker() as conn:
                    phase: Phase = "stopped" if answer_rows.hold(conn, attempt) else "complete"
                    answer_rows.end_attempt(conn, attempt, phase, [])
        except Superseded:
            self.done["superseded"] += 1


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_they_do_every_answer_ends(database: Database, seed: int) -> None:
    storm = Storm(Circle(database))
    storm.circle.ask(storm.chat)
    people = [(person, seed * 10 + number) for number, person in enumerate((ALICE, BOB, CAROL))]
    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(storm.work) for _ in range(2)]
        for done in [pool.submit(storm.take_part, *one) for one in people]:
            done.result(60)
        storm.calm.set()
        for worker in workers:
            worker.result(60)
    messages = storm.circle.messages(storm.chat)
    assert {one.phase for one in messages if one.role == "assistant"} <= {"complete", "stopped"}, storm.done
    answered = {one.parent_id for one in messages if one.role == "assistant"}
    assert {one.id for one in messages if one.role == "user"} == answered
    assert len({one.position for one in messages}) == len(messages)
    assert storm.done["ask"] > 5
