"""Conversations as trees: branches, and questions of several people that wait for one another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from rag.chat import answer_rows
from rag.chat.branches import questions_before, siblings, thread
from rag.chat.chats import (
    ask,
    delete_message,
    edit_question,
    list_messages,
    read_answer,
    regenerate_answer,
    retry_answer,
    stop_answer,
)
from rag.errors import CorpuscopeError, InvalidInput, LimitReached, NotAllowed
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.circle import CAROL, Circle
from tests.integration.library import wait_until
from tests.integration.townsfolk import run_as_owner


@pytest.fixture(scope="module")
def made(module_database: Database) -> Circle:
    return Circle(module_database)


@pytest.fixture
def circle(made: Circle) -> Circle:
    made.jobs()
    return made


def words_of(circle: Circle, chat: UUID, at: UUID | None = None) -> list[str]:
    """The questions on one way through the conversation."""
    return [one.content for one in thread(circle.messages(chat), at) if one.role == "user"]


def test_questions_follow_the_newest_answer_or_the_end_of_the_branch_named(circle: Circle) -> None:
    chat = circle.chat(BOB)
    first = circle.ask(chat, question="first")
    second = circle.ask(chat, BOB, "second")
    with circle.database.as_user(BOB) as conn:
        other = regenerate_answer(conn, first)
    assert words_of(circle, chat) == ["first"]
    circle.ask(chat, question="after the other")
    circle.ask(chat, BOB, "third", parent=first)
    circle.ask(chat, BOB, "fourth", parent=second)
    assert words_of(circle, chat, first) == ["first", "second", "third", "fourth"]
    assert words_of(circle, chat, other) == ["first", "after the other"]
    assert [one.position for one in circle.messages(chat)] == list(range(1, 12))


def test_who_asked_is_said_of_each_question_and_answer(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat, BOB)
    with circle.database.as_user(ALICE) as conn:
        regenerate_answer(conn, circle.messages(chat)[-1].id, {"k": 3}, model="large")
    question, answer, again = circle.messages(chat, BOB)
    assert [(one.asked_by, one.asker) for one in (question, answer, again)] == [
        (BOB, "Bob"),
        (BOB, "Bob"),
        (ALICE, "Alice"),
    ]
    assert (again.profile, again.wanted_model, answer.wanted_model) == ({"k": 3}, "large", None)
    assert answer.parent_id == again.parent_id == question.id
    assert siblings([question, answer, again], answer) == [answer.id, again.id]


def test_an_edited_question_is_a_branch_and_the_old_one_stays(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat, question="first")
    second = circle.ask(chat, BOB, "second")
    question = circle.messages(chat)[2]
    with circle.database.as_user(BOB) as conn:
        edited = edit_question(conn, question.id, " second, better ")
    assert words_of(circle, chat) == ["first", "second, better"]
    assert words_of(circle, chat, second) == ["first", "second"]
    assert siblings(circle.messages(chat), question) == [question.id, circle.messages(chat)[-2].id]
    assert circle.messages(chat)[-1].id == edited


def test_people_edit_their_own_questions_only(circle: Circle) -> None:
    chat = circle.chat(BOB)
    circle.ask(chat, BOB)
    question, answer = circle.messages(chat)
    for person in (ALICE, CAROL):
        with pytest.raises(NotAllowed), circle.database.as_user(person) as conn:
            edit_question(conn, question.id, "Mine?")
    with pytest.raises(NotAllowed, match="own questions"), circle.database.as_user(BOB) as conn:
        edit_question(conn, answer.id, "An answer?")
    with pytest.raises(InvalidInput, match="no answer"), circle.database.as_user(BOB) as conn:
        regenerate_answer(conn, question.id)
    with pytest.raises(InvalidInput, match="8,000"), circle.database.as_user(BOB) as conn:
        edit_question(conn, question.id, " ")


def test_a_branch_that_went_is_not_gone_on_from(circle: Circle) -> None:
    chat, elsewhere = circle.chat(), circle.chat()
    circle.ask(chat)
    for parent in (uuid4(), circle.ask(elsewhere)):
        with pytest.raises(InvalidInput, match="deleted meanwhile") as refusal:
            circle.ask(chat, parent=parent)
        assert "end of the conversation" in refusal.value.hint
    assert len(circle.messages(chat)) == 2


def test_an_answer_waits_for_those_that_it_goes_on_from(circle: Circle) -> None:
    chat = circle.chat(BOB)
    first, second, third = circle.ask(chat), circle.ask(chat, BOB), circle.ask(chat)
    assert circle.jobs() == [first]
    messages = circle.messages(chat)
    assert [questions_before(messages, one) for one in messages if one.role == "assistant"] == [0, 1, 2]
    assert circle.begin(second) is None, "a worker that is sent too early does nothing"
    circle.finish(first)
    assert circle.jobs() == [second]
    assert circle.begin(third) is None
    circle.finish(second)
    assert circle.jobs() == [third]
    circle.finish(third)
    assert circle.jobs() == []
    assert {one.phase for one in circle.messages(chat)} == {"complete"}


@pytest.mark.parametrize("end", ["failed by its worker", "given up", "stopped by its worker", "stopped while it waits"])
def test_the_next_turn_comes_whatever_becomes_of_the_answer_before(circle: Circle, end: str) -> None:
    chat = circle.chat(BOB)
    first, second = circle.ask(chat), circle.ask(chat, BOB)
    circle.jobs()
    if end == "given up":
        with circle.database.as_worker() as conn:
            answer_rows.fail_answer(conn, first, "It was interrupted five times.")
    elif end == "stopped while it waits":
        with circle.database.as_user(BOB) as conn:
            assert stop_answer(conn, first)
    else:
        circle.finish(first, "failed" if end.startswith("failed") else "stopped")
    assert circle.jobs() == [second]
    circle.finish(second)


def test_one_that_is_stopped_in_the_middle_lets_nobody_pass(circle: Circle) -> None:
    chat = circle.chat()
    first, second, third = (circle.ask(chat) for _ in range(3))
    circle.jobs()
    with circle.database.as_user(ALICE) as conn:
        assert stop_answer(conn, second)
    assert circle.jobs() == [], "the first is unfinished still"
    circle.finish(first)
    assert circle.jobs() == [third]


def test_branches_do_not_wait_for_each_other(circle: Circle) -> None:
    chat = circle.chat()
    first = circle.ask(chat)
    circle.ask(chat)
    circle.jobs()
    with circle.database.as_user(ALICE) as conn:
        other = regenerate_answer(conn, first)
        edited = edit_question(conn, list_messages(conn, chat)[0].id, "Anew?")
    assert circle.jobs() == [other, edited]


def test_one_tried_again_makes_later_ones_wait_again(circle: Circle) -> None:
    chat = circle.chat(BOB)
    first = circle.ask(chat)
    circle.finish(first, "failed")
    second = circle.ask(chat)
    circle.jobs()
    with circle.database.as_user(BOB) as conn:
        assert retry_answer(conn, first)
        assert read_answer(conn, first).asker == "Bob"
    assert circle.jobs() == [first]
    assert circle.begin(second) is None
    circle.finish(first)
    assert circle.jobs() == [second]


def test_one_tried_again_waits_itself(circle: Circle) -> None:
    chat = circle.chat()
    first, second = circle.ask(chat), circle.ask(chat)
    with circle.database.as_user(ALICE) as conn:
        assert stop_answer(conn, second)
        circle.jobs()
        assert retry_answer(conn, second)
    assert circle.jobs() == []
    circle.finish(first)
    assert circle.jobs() == [second]


def test_lost_jobs_are_sent_again_to_those_whose_turn_it_is(circle: Circle) -> None:
    run_as_owner(circle.database, "delete from public.chats")
    chat = circle.chat()
    first, second = circle.ask(chat), circle.ask(chat)
    circle.jobs()
    requeue = "select corpuscope.requeue_answers('0')"
    with circle.database.as_worker() as conn:
        assert conn.execute(requeue).fetchone() == (1,)
    assert circle.jobs() == [first]
    circle.finish(first)
    assert circle.jobs() == [second]
    with circle.database.as_worker() as conn:
        assert conn.execute(requeue).fetchone() == (1,)
    assert circle.jobs() == [second]


def test_deleting_takes_all_that_goes_on_from_it(circle: Circle) -> None:
    chat = circle.chat(BOB)
    first = circle.ask(chat, question="first")
    second = circle.ask(chat, BOB, "second")
    with circle.database.as_user(ALICE) as conn:
        other = regenerate_answer(conn, first)
        assert delete_message(conn, other) == 1, "the question has another answer"
        assert words_of(circle, chat) == ["first", "second"]
        assert delete_message(conn, second) == 2, "with its only answer a question goes"
        assert delete_message(conn, first) == 2
    assert circle.messages(chat) == []
    assert words_of(circle, chat) == []
    with pytest.raises(NotAllowed), circle.database.as_user(ALICE) as conn:
        delete_message(conn, first)


def test_others_delete_what_they_asked_while_nobody_goes_on_from_it(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    first = circle.ask(chat)
    second, third = circle.ask(chat, BOB), circle.ask(chat, CAROL)
    for answer in (first, second, third):
        with pytest.raises(NotAllowed, match="Only the owner"), circle.database.as_user(BOB) as conn:
            delete_message(conn, answer)
    with circle.database.as_user(CAROL) as conn:
        delete_message(conn, third)
    with circle.database.as_user(BOB) as conn:
        delete_message(conn, second)
    assert [one.id for one in circle.messages(chat)][-1] == first
    circle.ask(chat, BOB)
    with circle.database.as_user(ALICE) as conn:
        assert delete_message(conn, first) == 4


def test_deleting_one_that_is_being_answered_ends_its_worker_and_frees_the_rest(circle: Circle) -> None:
    chat = circle.chat()
    kept = circle.ask(chat)
    circle.finish(kept)
    gone = circle.ask(chat)
    attempt = circle.begin(gone)
    assert attempt is not None
    circle.ask(chat, question="waits for it")
    with circle.database.as_user(ALICE) as conn:
        assert delete_message(conn, gone) == 4
    with pytest.raises(answer_rows.Superseded), circle.database.as_worker() as conn:
        answer_rows.end_attempt(conn, attempt, "complete", [])
    circle.jobs()
    following = circle.ask(chat)
    assert circle.jobs() == [following]


def test_two_who_ask_at_once_come_one_after_the_other(circle: Circle) -> None:
    chat = circle.chat(BOB, CAROL)
    first = circle.ask(chat)
    start = threading.Barrier(9)

    def put(number: int) -> UUID:
        person = (ALICE, BOB, CAROL)[number % 3]
        start.wait()
        return circle.ask(chat, person, f"question {number}", parent=first)

    with ThreadPoolExecutor(9) as pool:
        answers = set(pool.map(put, range(9)))
    line = thread(circle.messages(chat))
    assert {one.id for one in line if one.role == "assistant"} == {first, *answers}
    assert [one.position for one in line] == list(range(1, 21))
    assert circle.jobs() == [first]
    for answer in line[1::2]:
        circle.finish(answer.id)
    assert circle.jobs() == [one.id for one in line[3::2]]


def blocked(circle: Circle) -> Callable[[], bool]:
    return lambda: run_as_owner(circle.database, "select pid from pg_locks where not granted") != []


@pytest.mark.parametrize("first_to_act", ["worker", "asker"])
def test_an_answer_that_ends_while_the_next_is_asked_frees_it(circle: Circle, first_to_act: str) -> None:
    """Whichever is first, the other waits for it and sees it: else neither would send the job."""
    chat = circle.chat(BOB)
    first = circle.ask(chat)
    attempt = circle.begin(first)
    assert attempt is not None
    circle.jobs()
    sent: list[UUID] = []

    def end(conn: Any) -> None:
        answer_rows.end_attempt(conn, attempt, "complete", [])

    def put(conn: Any) -> None:
        sent.append(ask(conn, chat, "And then?"))

    def worker() -> Any:
        return circle.database.as_worker()

    def asker() -> Any:
        return circle.database.as_user(BOB)

    steps = [(worker, end), (asker, put)]
    (open_first, act_first), (open_second, act_second) = steps if first_to_act == "worker" else steps[::-1]

    def second() -> None:
        with open_second() as conn:
            act_second(conn)

    with ExitStack() as stack:
        conn = stack.enter_context(open_first())
        act_first(conn)
        other = threading.Thread(target=second)
        other.start()
        wait_until(blocked(circle))
        stack.close()
        other.join(30)
    assert not other.is_alive()
    assert circle.jobs() == sent
    circle.finish(sent[0])


def test_somebody_has_only_so_many_questions_waiting(circle: Circle) -> None:
    chat = circle.chat(BOB)
    answers = [circle.ask(chat, BOB) for _ in range(20)]
    with pytest.raises(LimitReached, match="Twenty questions of yours"):
        circle.ask(chat, BOB)
    with pytest.raises(LimitReached), circle.database.as_user(BOB) as conn:
        regenerate_answer(conn, answers[0])
    circle.ask(chat, ALICE)
    circle.finish(answers[0])
    circle.ask(chat, BOB)


@pytest.mark.parametrize("model", ["", "x" * 201])
def test_a_model_has_a_name(circle: Circle, model: str) -> None:
    with pytest.raises(CorpuscopeError, match="200"):
        circle.ask(circle.chat(), model=model)
