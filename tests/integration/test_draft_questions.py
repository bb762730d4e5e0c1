"""Drafting: a request becomes drafts with their passages, as the person who asked, and its failure becomes words."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from rag.errors import InvalidInput, NotAllowed
from rag.evaluation.draft_requests import DraftRequest, cancel_request, latest_request, request_drafts
from rag.evaluation.drafting import draft
from rag.evaluation.errand import Errand
from rag.evaluation.judged_passages import list_passages
from rag.evaluation.question_sets import create_set, list_questions
from rag.evaluation.questions import decide_drafts
from rag.retrieval.scopes import Piece, make_scope
from rag.settings import Settings
from rag.store.database import Database
from rag.work.leases import LeaseLost
from tests.integration.library import LAKE, PUMP, Library, settings_for
from tests.standin_openai import Say, StandInOpenAI, Status

WARRANTY = "What is the warranty period of the Falcon pump?"


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    return Library(database, alice, {"pump.md": PUMP, "lake.txt": LAKE})


@pytest.fixture
def questions(library: Library, database: Database, alice: UUID) -> int:
    with database.as_user(alice) as conn:
        return create_set(conn, library.collection, "Drafts")


def errand(database: Database, settings: Settings | None = None, ours: bool = True) -> Errand:
    models: Any = None  # drafting embeds nothing
    return Errand(database, models, settings or settings_for(), lambda: ours)


def ask_for(database: Database, user: UUID, set_id: int, wanted: int = 2) -> int:
    with database.as_user(user) as conn:
        return request_drafts(conn, set_id, wanted)


def outcome(database: Database, user: UUID, set_id: int) -> DraftRequest:
    with database.as_user(user) as conn:
        found = latest_request(conn, set_id)
    assert found is not None
    return found


def test_drafts_wait_for_a_yes_with_the_passage_that_answers(
    database: Database, library: Library, questions: int, alice: UUID
) -> None:
    number = ask_for(database, alice, questions)
    assert library.value("select message from pgmq.q_evaluate") == {"draft": number}
    draft(errand(database), number)
    done = outcome(database, alice, questions)
    assert (done.state, done.made, done.writer) == ("done", 2, "")
    with database.as_user(alice) as conn:
        assert list_questions(conn, questions) == []
        drafts = {one.text: one for one in list_questions(conn, questions, ("draft",))}
        (passage,) = list_passages(conn, drafts[WARRANTY].id)
        assert passage.text == "The warranty period of the Falcon pump is 27 months from delivery."
        assert (passage.grade, passage.origin) == (3, "drafted")
        decide_drafts(conn, questions, "rejected")
    draft(errand(database), number)  # the message came twice
    again = ask_for(database, alice, questions)
    draft(errand(database), again)
    ended = outcome(database, alice, questions)
    assert (ended.state, ended.made) == ("failed", 0)  # what was rejected is not drafted again
    assert "nothing to ask about" in (ended.reason or "")


def test_a_chat_model_writes_them(database: Database, questions: int, alice: UUID) -> None:
    reply = json.dumps({"question": "How long may I bring the Falcon pump back?", "quote": "27 months"})
    other = json.dumps({"question": "What do ducks like to eat in summer?", "quote": "elm leaves"})
    with StandInOpenAI(chat=[Say([reply[:20], reply[20:]]), Say(["no json"]), Say([other])]) as server:
        number = ask_for(database, alice, questions, 1)
        draft(errand(database, settings_for(server.base_url)), number)
    done = outcome(database, alice, questions)
    assert (done.state, done.made, done.writer) == ("done", 1, "stand-in")
    with database.as_user(alice) as conn:
        (question,) = list_questions(conn, questions, ("draft",))
        assert question.text == "How long may I bring the Falcon pump back?"


def test_what_drafting_costs_is_the_asker_s_and_capped(database: Database, questions: int, alice: UUID) -> None:
    reply = json.dumps({"question": "How long may I bring the Falcon pump back?", "quote": "27 months"})
    with StandInOpenAI(default_chat=Say([reply], usage=(400, 100))) as server:
        settings = settings_for(server.base_url).model_copy(update={"chat_tokens_per_day": 500})
        draft(errand(database, settings), ask_for(database, alice, questions, 3))
    done = outcome(database, alice, questions)
    assert (done.state, done.made) == ("failed", 1)
    assert "500 of 500 tokens" in str(done.reason)
    with database.as_user(alice) as conn:
        used = conn.execute("select tokens from public.my_model_use() where scope = 'person'").fetchone()
    assert used == (500,)


def test_only_a_selection_is_asked_about(database: Database, library: Library, questions: int, alice: UUID) -> None:
    lake = library.value("select id from public.documents where name = 'lake.txt'")
    with database.as_user(alice) as conn:
        scope = make_scope(conn, library.collection, None, [Piece(lake, 0, len(LAKE))])
        number = request_drafts(conn, questions, 20, scope)
    draft(errand(database), number)
    done = outcome(database, alice, questions)
    assert done.scope_id == scope
    assert done.made > 0
    with database.as_user(alice) as conn:
        rows = conn.execute("select distinct document_id from public.judgements").fetchall()
    assert rows == [(lake,)]


def test_a_models_failure_ends_in_words(database: Database, questions: int, alice: UUID) -> None:
    with StandInOpenAI(chat=[Status(401)]) as server:
        draft(errand(database, settings_for(server.base_url)), ask_for(database, alice, questions))
    ended = outcome(database, alice, questions)
    assert (ended.state, ended.reason) == ("failed", "The chat model's server did not accept the key.")


def test_it_stops_when_asked_and_when_the_job_is_anothers(database: Database, questions: int, alice: UUID) -> None:
    number = ask_for(database, alice, questions)
    with pytest.raises(LeaseLost):
        draft(errand(database, ours=False), number)
    assert outcome(database, alice, questions).active
    with database.as_user(alice) as conn:
        cancel_request(conn, number)
    draft(errand(database), number)
    assert outcome(database, alice, questions).state == "cancelled"


def test_only_editors_ask_and_a_lost_right_ends_it(
    database: Database, library: Library, questions: int, alice: UUID, bob: UUID
) -> None:
    with database.as_user(alice) as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'editor')",
            [library.collection, bob],
        )
    number = ask_for(database, bob, questions)
    with database.as_user(alice) as conn:
        conn.execute("update public.collection_members set role = 'viewer' where user_id = %s", [bob])
    with pytest.raises(NotAllowed):
        ask_for(database, bob, questions)
    with pytest.raises(NotAllowed), database.as_user(bob) as conn:
        cancel_request(conn, number)
    with pytest.raises(InvalidInput):
        ask_for(database, alice, questions, 0)
    draft(errand(database), number)
    ended = outcome(database, alice, questions)
    assert (ended.state, ended.made) == ("failed", 0)
