"""What an answer is looked for with: rewritten follow-ups, branches, several collections; and what is kept of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from rag.chat.answering import answer_message
from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, edit_question, regenerate_answer
from rag.chat.conversations import set_collections
from rag.chat.participants import share_chat
from rag.chat.snapshots import Snapshot, read_snapshot
from rag.retrieval.scopes import Piece, make_scope
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.models import ModelRow
from tests.conftest import ALICE
from tests.integration.library import LAKE, PUMP, QUESTION, Library, SharedWords, settings_for
from tests.integration.townsfolk import run_as_owner
from tests.standin_openai import Say, StandInOpenAI, Status

EXTRACTIVE = settings_for()
WEIGHT = "How heavy is the Falcon pump?"


@pytest.fixture(scope="module")
def filled(module_database: Database) -> Library:
    return Library(module_database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def library(filled: Library) -> Library:
    filled.embedder, filled.user = SharedWords(), ALICE
    return filled


@pytest.fixture(scope="module")
def birds(module_database: Database) -> Library:
    """Another collection of hers."""
    text = "Herons of the lake\n\nThe heron eats frogs and voles. Ducks eat elm leaves and berries in summer."
    return Library(module_database, ALICE, {"birds.txt": text, "lake.txt": LAKE}, name="Birds")


@pytest.fixture
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as running:
        yield running


def snapshot(answer: Message) -> Snapshot:
    kept = read_snapshot(answer.snapshot)
    assert kept is not None
    return kept


def details(answer: Message) -> str:
    return " | ".join(note.detail for note in answer.phases)


def chat_of(library: Library, *others: Library) -> UUID:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
        set_collections(conn, chat, [other.collection for other in others])
    return chat


# Follow-ups -----------------------------------------------------------------------------------------------------------


def test_a_follow_up_is_rewritten_searched_and_shown_as_it_was_understood(
    library: Library, provider: StandInOpenAI
) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    provider.rewrites.append(Say([WEIGHT]))
    library.answer(library.ask(chat=chat), settings)
    assert provider.rewriting_requests() == [], "a first question stands alone"
    answer = library.answer(library.ask("And how heavy is it?", chat=chat, profile={"k": 1}), settings)
    assert answer.standalone == WEIGHT
    assert answer.phases[0].detail.startswith(f"Understood as “{WEIGHT}”, and embedded with ")
    assert answer.passages[0].document == "pump.txt"
    (shown,) = [request.body["messages"][-1]["content"] for request in provider.rewriting_requests()]
    assert f"Question: {QUESTION}\nAnswer: The passages say so." in shown
    latest = provider.chat_requests()[1].body["messages"][-1]["content"]
    assert latest.endswith(f"Question: And how heavy is it?\nIt is meant as: {WEIGHT}")


def test_the_question_after_is_rewritten_from_what_was_meant(library: Library, provider: StandInOpenAI) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    provider.rewrites.append(Say([WEIGHT]))
    for question in (QUESTION, "And how heavy is it?", "Why?"):
        library.answer(library.ask(question, chat=chat), settings)
    shown = provider.rewriting_requests()[-1].body["messages"][-1]["content"]
    assert f"Question: {WEIGHT}" in shown


@pytest.mark.parametrize(
    "behaviour", [Status(500), Say(["It weighs 12 kg.\nAnd is blue."]), Say([""]), Say(["half"], finish=None)]
)
def test_a_rewriting_that_fails_leaves_the_question_as_it_was_typed(
    library: Library, provider: StandInOpenAI, behaviour: Say
) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    library.answer(library.ask(chat=chat), settings)
    provider.rewrites += [behaviour] * 3
    answer = library.answer(library.ask("What does the Falcon pump weigh?", chat=chat), settings)
    assert (answer.phase, answer.standalone) == ("complete", None)
    assert answer.phases[0].detail.startswith("Embedded the question with ")


def test_without_a_model_a_follow_up_is_joined_to_the_question_before(library: Library) -> None:
    chat = chat_of(library)
    library.answer(library.ask(chat=chat), EXTRACTIVE)
    answer = library.answer(library.ask("And how heavy is it?", chat=chat), EXTRACTIVE)
    assert answer.standalone == f"{QUESTION} And how heavy is it?"
    assert "together with the question before" in answer.phases[1].detail
    assert answer.citations
    assert {answer.passages[citation.number - 1].document for citation in answer.citations} == {"pump.txt"}


def test_another_question_that_finds_nothing_is_not_answered_from_the_one_before(library: Library) -> None:
    chat = chat_of(library)
    library.answer(library.ask(chat=chat), EXTRACTIVE)
    answer = library.answer(library.ask("Who invented quantum chromodynamics?", chat=chat), EXTRACTIVE)
    assert answer.standalone is None
    assert answer.content.startswith("Nothing relevant was found.")


def test_history_is_that_of_the_branch(library: Library, provider: StandInOpenAI) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    provider.chat += [Say([f"Answer {name} [1]."]) for name in "ABCD"]
    first = library.answer(library.ask(chat=chat), settings)
    library.answer(library.ask("What does the pump weigh?", chat=chat), settings)
    with library.database.as_user(library.user) as conn:
        again = regenerate_answer(conn, first.id)
    library.answer(again, settings)
    with library.database.as_user(library.user) as conn:
        last = ask(conn, chat, "Which desk handles claims?", parent=again)
    library.answer(last, settings)
    said = [turn["content"] for turn in provider.chat_requests()[-1].body["messages"][1:-1]]
    assert said == [QUESTION, "Answer C."]


def test_an_edited_question_is_answered_in_its_place(library: Library, provider: StandInOpenAI) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    first = library.answer(library.ask(chat=chat), settings)
    assert first.parent_id is not None
    with library.database.as_user(library.user) as conn:
        edited = edit_question(conn, first.parent_id, WEIGHT)
    answer = library.answer(edited, settings)
    assert answer.phase == "complete"
    latest = provider.chat_requests()[-1].body["messages"]
    assert [turn["role"] for turn in latest] == ["system", "user"]
    assert latest[-1]["content"].endswith(f"Question: {WEIGHT}")


def test_a_chosen_model_is_asked(library: Library, provider: StandInOpenAI) -> None:
    with library.database.as_user(library.user) as conn:
        message = ask(conn, create_chat(conn, library.collection), QUESTION, model="bigger")
    answer = library.answer(message, settings_for(provider.base_url))
    assert (answer.model, provider.chat_requests()[0].body["model"]) == ("bigger", "bigger")


def test_an_answer_for_somebody_who_is_gone_fails_in_words(library: Library) -> None:
    message = library.ask()
    run_as_owner(library.database, "update public.messages set asked_by = null where id = %s", message)
    answer = library.answer(message, EXTRACTIVE)
    assert answer.phase == "failed"
    assert "is gone" in str(answer.error)


# Several collections --------------------------------------------------------------------------------------------------


def test_several_collections_become_one_ranking(library: Library, birds: Library) -> None:
    answer = library.answer(library.ask("What does the heron eat?", chat=chat_of(library, birds)), EXTRACTIVE)
    assert answer.passages[0].document == "birds.txt"
    assert "frogs and voles" in answer.content
    assert {passage.document for passage in answer.passages} == {"birds.txt", "pump.txt", "lake.txt"}
    assert len(answer.passages) == 3, "the lake is in both collections and is read once"
    assert answer.phases[1].detail.startswith("Found 4 passages in 2 collections (hybrid), the best 3 in 3 documents")
    kept = snapshot(answer)
    assert [place.collection for place in kept.indexes] == [library.collection, birds.collection]
    assert (kept.found, kept.kept) == (4, 3)
    birds.check_citations(answer)


@pytest.mark.parametrize(
    "profile",
    [{"mode": "dense"}, {"mode": "lexical"}, {"fusion": "rrf"}, {"diversity": 0.5}, {"neighbours": 1}, {"k": 1}],
)
def test_the_profile_holds_for_all_of_them(library: Library, birds: Library, profile: dict[str, Any]) -> None:
    answer = library.answer(
        library.ask("What does the heron eat?", chat=chat_of(library, birds), profile=profile), EXTRACTIVE
    )
    assert answer.phase == "complete"
    assert answer.passages[0].document == "birds.txt"
    assert len(answer.passages) <= profile.get("k", 10)
    assert [passage.number for passage in answer.passages] == list(range(1, len(answer.passages) + 1))


def test_the_threshold_holds_for_all_of_them(library: Library, birds: Library) -> None:
    question, profile = "What does the heron eat?", {"mode": "dense"}
    chat = chat_of(library, birds)
    every = library.answer(library.ask(question, chat=chat, profile=profile), EXTRACTIVE).passages
    least = every[1].similarity
    assert least is not None
    chosen = profile | {"threshold": least}
    kept = library.answer(library.ask(question, chat=chat, profile=chosen), EXTRACTIVE).passages
    assert [passage.chunk_id for passage in kept] == [passage.chunk_id for passage in every[:2]]


def test_each_collection_is_asked_with_its_own_model(library: Library, module_database: Database) -> None:
    other = Library(module_database, ALICE, {}, SharedWords("other-model"), name="Other")
    run_as_owner(
        module_database,
        "update public.indexes i set model_id = m.id from public.embedding_models m"
        " where m.name = 'other-model' and i.collection_id = %s",
        other.collection,
    )
    other.add("heron.txt", "The heron eats frogs.")
    asked: list[str] = []

    def embedder_for(model: ModelRow) -> SharedWords:
        made = SharedWords(model.name)
        made.before = lambda: asked.append(model.name)
        return made

    message = library.ask("What does the heron eat?", chat=chat_of(library, other))
    answer_message(
        library.database, library.embedder, EXTRACTIVE, message, still_ours=lambda: True, embedder_for=embedder_for
    )
    answer = library.read(message)
    assert answer.error is None
    assert sorted(asked) == sorted([library.embedder.info.name, "other-model"])
    assert answer.passages[0].document == "heron.txt"
    assert [place.model for place in snapshot(answer).indexes] == [library.embedder.info.name, "other-model"]


def test_a_collection_that_the_asker_may_not_see_is_left_out(library: Library, birds: Library, bob: UUID) -> None:
    chat = chat_of(library, birds)
    message = library.ask("What does the heron eat?", chat=chat)
    # As if it had been asked by somebody who may see the chat's own collection only.
    run_as_owner(
        library.database,
        "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
        library.collection,
        bob,
    )
    run_as_owner(library.database, "update public.messages set asked_by = %s where id = %s", bob, message)
    answer = library.answer(message, EXTRACTIVE)
    run_as_owner(library.database, "delete from public.collection_members where user_id = %s", bob)
    assert answer.phase == "complete"
    assert "birds.txt" not in {passage.document for passage in answer.passages}
    assert [place.collection for place in snapshot(answer).indexes] == [library.collection]
    assert "1 collection could not be searched" in answer.phases[1].detail


def test_a_participant_s_question_is_answered_with_their_own_rights(
    library: Library, birds: Library, bob: UUID
) -> None:
    """Alice's conversation, kept to a selection of hers that has no name; Bob may view its collection."""
    document = library.value("select id from public.documents where name = 'lake.txt' order by created_at limit 1")
    join = "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')"
    run_as_owner(library.database, join, library.collection, bob)
    with library.database.as_user(ALICE) as conn:
        scope = make_scope(conn, library.collection, None, [Piece(document, 0, len(LAKE))])
        chat = create_chat(conn, library.collection, scope=scope)
        share_chat(conn, chat, [bob])
    first = library.answer(library.ask(chat=chat), EXTRACTIVE)
    library.user = bob
    answer = library.answer(library.ask("What do ducks eat?", chat=chat), EXTRACTIVE)
    assert (first.asked_by, answer.asked_by) == (ALICE, bob)
    assert {passage.document for passage in answer.passages} == {"lake.txt"}
    assert "elm leaves" in answer.content
    message = library.ask("Do ducks eat berries?", chat=chat)
    run_as_owner(library.database, "delete from public.collection_members where user_id = %s", bob)
    answer_message(library.database, library.embedder, EXTRACTIVE, message, still_ours=lambda: True)
    library.user = ALICE
    assert library.read(message).phase == "failed"
    assert "shared with you" in str(library.read(message).error)


# What is kept, and what is left out -----------------------------------------------------------------------------------


def test_the_snapshot_says_with_what_the_answer_was_made(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["It is ", "27 months [1]."], delay_s=0.1))
    answer = library.answer(library.ask(profile={"k": 1}), settings_for(provider.base_url))
    kept = snapshot(answer)
    assert (kept.profile["k"], kept.profile["mode"]) == (1, "hybrid")
    assert [(place.collection_name, place.model) for place in kept.indexes] == [("Library", library.embedder.info.name)]
    assert (kept.found, kept.kept, kept.left_out, kept.cites_nothing) == (1, 1, [], False)
    assert kept.retrieval_seconds is not None
    assert (kept.prompt_tokens or 0) > 100
    assert (kept.completion_tokens or 0) > 0
    assert (kept.first_token_seconds or 0) >= 0.1
    assert (kept.tokens_per_second or 0) > 0
    assert "stand-in wrote " in answer.phases[2].detail
    assert " tokens in 0." in answer.phases[2].detail
    assert answer.phases[2].detail.endswith(" from 1 passage.")


def test_an_extractive_answer_has_a_snapshot_without_tokens(library: Library) -> None:
    kept = snapshot(library.answer(library.ask(), EXTRACTIVE))
    assert (kept.found, kept.kept, kept.completion_tokens) == (2, 2, None)


def test_what_does_not_fit_the_model_is_left_out_whole_and_said(
    library: Library, provider: StandInOpenAI, database: Database, alice: UUID
) -> None:
    long = {f"{n}.txt": f"The Falcon pump, part {n}. " + "It is a pump with a long warranty. " * 16 for n in range(12)}
    filled = Library(database, alice, long)
    settings = settings_for(provider.base_url).model_copy(update={"chat_context_tokens": 2000})
    answer = filled.answer(filled.ask("What of the warranty of the pump?", profile={"k": 12}), settings)
    kept = snapshot(answer)
    assert 1 < kept.kept < 12
    assert (kept.found, kept.left_out) == (12, list(range(kept.kept + 1, 13)))
    words = f"kept {kept.kept}: the others don't fit the model's window of 2,000 tokens"
    assert words in answer.phases[1].detail
    sent = provider.chat_requests()[-1].body["messages"][-1]["content"]
    assert all((passage.text in sent) == (passage.number <= kept.kept) for passage in answer.passages)


def test_i_do_not_know_comes_with_the_nearest_passages(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["The passages ", "do not say who invented it."]))
    answer = library.answer(library.ask("Who invented the pump?"), settings_for(provider.base_url))
    said, _, nearest = answer.content.partition("\n\n")
    assert said == "The passages do not say who invented it."
    assert nearest.startswith("*This rests on no passage. The nearest ones say:*")
    assert 1 <= len(answer.citations) <= 2
    assert snapshot(answer).cites_nothing
    library.check_citations(answer)


def test_the_cap_on_spending_is_kept_and_said(library: Library, provider: StandInOpenAI) -> None:
    settings: Settings = settings_for(provider.base_url).model_copy(update={"chat_tokens_per_conversation": 50})
    chat = chat_of(library)
    assert library.answer(library.ask(chat=chat), settings).phase == "complete"
    answer = library.answer(library.ask(WEIGHT, chat=chat), settings)
    assert (answer.phase, len(provider.chat_requests())) == ("failed", 1)
    assert "the most that the chat model may cost" in str(answer.error)
    assert answer.error_hint


def test_what_a_rewriting_costs_is_counted_too(library: Library, provider: StandInOpenAI) -> None:
    settings, chat = settings_for(provider.base_url), chat_of(library)
    first = library.answer(library.ask(chat=chat), settings)
    second = library.answer(library.ask("And its weight?", chat=chat), settings)
    with library.database.as_owner() as conn:
        (spent,) = conn.execute(
            "select sum(prompt_tokens + completion_tokens) from corpuscope.model_use where chat_id = %s", [chat]
        ).fetchone() or (0,)
    written = [snapshot(answer) for answer in (first, second)]
    assert spent > sum((one.prompt_tokens or 0) + (one.completion_tokens or 0) for one in written)


def test_sentences_are_marked_after_the_answer(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(
        Say(["The warranty period of the Falcon pump is 27 months [1]. Swans nest in Antarctica [1]."])
    )
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    rows = library.value(
        "select array_agg(verdict order by ordinal) from public.message_support where message_id = %s", answer.id
    )
    assert rows == ["supported", "unsupported"]


def test_a_failed_check_of_support_harms_no_answer(library: Library, provider: StandInOpenAI) -> None:
    broken = SharedWords()

    def embed(texts: Any) -> Any:
        raise ZeroDivisionError

    broken.embed_passages = embed  # type: ignore[method-assign]
    library.embedder = broken
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert (answer.phase, answer.error) == ("complete", None)
