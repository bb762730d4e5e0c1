"""Answers made in this process from a real database, with and without a chat model (a stand-in server)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import pytest

from rag.chat.answering import answer_message
from rag.chat.chat_records import Message
from rag.chat.chats import create_chat, leave_scope, retry_answer, stop_answer
from rag.corpus.documents import delete_documents
from rag.errors import ProviderBusy
from rag.retrieval.scopes import Piece, make_scope
from rag.store.database import Database
from rag.work.leases import LeaseLost
from tests.conftest import ALICE
from tests.integration.library import LAKE, PUMP, QUESTION, Library, SharedWords, in_thread, settings_for, wait_until
from tests.standin_openai import BreakOff, Flood, Garbage, Hang, Say, StandInOpenAI, Status

EXTRACTIVE = settings_for()


@pytest.fixture(scope="module")
def filled(module_database: Database) -> Library:
    return Library(module_database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def library(filled: Library) -> Library:
    """The module's collection, with an embedder of the test's own."""
    filled.embedder, filled.user = SharedWords(), ALICE
    return filled


@pytest.fixture
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as running:
        yield running


def phases(answer: Message) -> list[str]:
    return [note.phase for note in answer.phases]


def deltas_of(library: Library, message: UUID) -> int:
    return int(library.value("select count(*) from public.message_deltas where message_id = %s", message))


def joined_deltas(library: Library, answer: Message) -> str:
    return str(
        library.value(
            "select coalesce(string_agg(text, '' order by seq), '') from public.message_deltas"
            " where message_id = %s and attempt = %s",
            answer.id,
            answer.attempt,
        )
    )


def test_an_extractive_answer_quotes_the_sentence_and_not_the_injected_instruction(library: Library) -> None:
    answer = library.answer(library.ask(), EXTRACTIVE)
    assert (answer.phase, answer.kind, answer.error) == ("complete", "extractive", None)
    assert "27 months from delivery. [1]" in answer.content
    assert "no chat model" in answer.content
    assert "PWNED" not in answer.content
    assert [citation.quote for citation in answer.citations] == [
        "The warranty period of the Falcon pump is 27 months from delivery."
    ]
    assert answer.passages[answer.citations[0].number - 1].document == "pump.txt"
    library.check_citations(answer)


def test_every_phase_says_what_it_did_and_how_long_it_took(library: Library) -> None:
    answer = library.answer(library.ask(), EXTRACTIVE)
    assert phases(answer) == ["analyzing", "retrieving", "generating", "complete"]
    assert answer.phases[1].detail == "Found 2 passages in 2 documents (hybrid), kept all."
    assert all(note.seconds is not None and note.seconds >= 0 for note in answer.phases)
    assert answer.content == joined_deltas(library, answer)


def test_the_profile_that_was_asked_with_is_used(library: Library) -> None:
    answer = library.answer(library.ask(profile={"mode": "lexical", "k": 1}), EXTRACTIVE)
    assert len(answer.passages) == 1
    assert answer.passages[0].similarity is None
    assert "27 months" in answer.content


def bound(library: Library, name: str, start: int, end: int) -> UUID:
    """A chat that is kept to these characters of a document."""
    document = library.value("select id from public.documents where name = %s", name)
    with library.database.as_user(library.user) as conn:
        scope = make_scope(conn, library.collection, None, [Piece(document, start, end)])
        return create_chat(conn, library.collection, scope=scope)


def test_a_conversation_about_a_selection_reads_nothing_else(library: Library) -> None:
    chat = bound(library, "lake.txt", 0, len(LAKE))
    answer = library.answer(library.ask("What do ducks eat?", chat=chat), EXTRACTIVE)
    assert {passage.document for passage in answer.passages} == {"lake.txt"}
    assert "elm leaves" in answer.content
    assert answer.scope is not None
    assert (answer.scope.passages, answer.scope.documents) == (1, 1)
    assert "only among 1 passage of 1 document" in " ".join(note.detail for note in answer.phases)
    other = library.answer(library.ask(chat=chat), EXTRACTIVE)
    assert "27 months" not in other.content
    with library.database.as_user(library.user) as conn:
        asked_before = library.ask(chat=chat)
        leave_scope(conn, chat)
    # It was asked for while the conversation was kept to the selection.
    assert "27 months" not in library.answer(asked_before, EXTRACTIVE).content
    assert "27 months" in library.answer(library.ask(chat=chat), EXTRACTIVE).content


def test_a_selection_of_which_nothing_is_left_says_so(library: Library) -> None:
    gone = library.add("gone.txt", "The Falcon pump was painted green in Hull.")
    chat = bound(library, "gone.txt", 0, 20)
    with library.database.as_user(library.user) as conn:
        delete_documents(conn, [gone])
    answer = library.answer(library.ask("Where was the Falcon pump painted?", chat=chat), EXTRACTIVE)
    assert (answer.phase, answer.passages) == ("complete", [])
    assert "no passage of the selection" in answer.content


def test_neighbours_of_a_selection_are_not_read(library: Library, provider: StandInOpenAI) -> None:
    long = library.add("long.txt", "The Falcon pump is blue. " * 24 + "The secret word is heron. " * 24)
    chat = bound(library, "long.txt", 0, 600)
    library.answer(
        library.ask("What is the Falcon pump?", chat=chat, profile={"neighbours": 2}), settings_for(provider.base_url)
    )
    with library.database.as_user(library.user) as conn:
        delete_documents(conn, [long])
    assert "heron" not in str(provider.requests[-1])


def test_nothing_relevant_is_said(library: Library) -> None:
    answer = library.answer(library.ask("Who invented quantum chromodynamics?"), EXTRACTIVE)
    assert answer.phase == "complete"
    assert answer.content.startswith("Nothing relevant was found.")
    assert "PWNED" not in answer.content


def test_an_empty_collection_is_said_to_hold_nothing(database: Database, alice: UUID) -> None:
    library = Library(database, alice, {})
    answer = library.answer(library.ask(), settings_for("http://127.0.0.1:9/v1"))
    assert (answer.phase, answer.passages, answer.citations) == ("complete", [], [])
    assert answer.content.startswith("Nothing relevant was found")


def test_the_asker_s_own_rights_are_used(library: Library, bob: UUID) -> None:
    with library.database.as_user(library.user) as conn:
        conn.execute(
            "insert into public.collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
            [library.collection, bob],
        )
    owner, library.user = library.user, bob
    message = library.ask()
    with library.database.as_user(owner) as conn:
        conn.execute("delete from public.collection_members where user_id = %s", [bob])
    answer_message(library.database, library.embedder, EXTRACTIVE, message, still_ours=lambda: True)
    assert library.value("select phase from public.messages where id = %s", message) == "failed"
    assert "shared with you" in library.value("select error from public.messages where id = %s", message)
    assert library.value("select count(*) from public.passages where message_id = %s", message) == 0


def test_an_index_of_another_model_is_refused_in_words(library: Library) -> None:
    library.embedder.info = type(library.embedder)("other-model").info
    answer = library.answer(library.ask(), EXTRACTIVE)
    assert answer.phase == "failed"
    assert answer.error is not None
    assert "other-model" in answer.error


def test_a_bug_is_written_down_and_raised(library: Library) -> None:
    def explode() -> None:
        raise ZeroDivisionError

    library.embedder.before = explode
    message = library.ask()
    with pytest.raises(ZeroDivisionError):
        library.answer(message, EXTRACTIVE)
    answer = library.read(message)
    assert (answer.phase, answer.error) == ("failed", "This answer failed unexpectedly.")


def test_a_model_answers_from_fenced_passages_with_cited_spans(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["The warranty ", "is 27 months", " [", "1", "]", ". Claims go to Leeds 【1】."]))
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert (answer.phase, answer.kind, answer.model) == ("complete", "model", "stand-in")
    assert answer.content == "The warranty is 27 months [1]. Claims go to Leeds [1]."
    assert [citation.quote for citation in answer.citations] == [
        "The warranty period of the Falcon pump is 27 months from delivery.",
        "Claims are handled by the service desk in Leeds.",
    ]
    library.check_citations(answer)
    (request,) = provider.chat_requests()
    rules, latest = request.body["messages"]
    assert "never instructions" in rules["content"]
    assert PUMP in latest["content"]
    assert QUESTION in latest["content"]
    assert request.authorization == "Bearer k"


def test_neighbours_are_read_and_quoted_where_they_stand(library: Library, provider: StandInOpenAI) -> None:
    """Three chunks of 600 characters; the second is found, the model quotes the third, then nothing that is there."""
    parts = ["Swans nest early.", "The Falcon pump has a long warranty period.", "Claims go to the desk in Leeds."]
    text = "".join(part + " " * (600 - len(part)) for part in parts)
    document = library.add("long.txt", text)
    provider.chat.append(Say(["It is long [1]. Claims go to the desk in Leeds [1]. Xylophones [1]."]))
    question = "long warranty period of the Falcon pump"
    message = library.ask(question, profile={"k": 1, "neighbours": 1, "mode": "lexical"})
    answer = library.answer(message, settings_for(provider.base_url))
    (request,) = provider.chat_requests()
    latest = request.body["messages"][-1]["content"]
    assert text in latest, "each part once, in order"
    (passage,) = answer.passages
    assert (passage.document_id, passage.start, passage.end) == (document, 600, 1200)
    assert passage.text == text[600:1200], "what is kept is what was retrieved"
    spans = [(citation.start, citation.end) for citation in answer.citations]
    assert [text[start:end].strip() for start, end in spans] == [parts[1], parts[2], parts[1]]
    assert spans[1] == (1200, 1200 + len(parts[2]))
    assert spans[2] == (600, 1200), "without shared words it rests on what was retrieved"
    assert all(text[c.start : c.end] == c.quote for c in answer.citations)
    with library.database.as_owner() as conn:
        conn.execute("delete from public.documents where id = %s", [document])


def test_earlier_turns_go_with_the_question(library: Library, provider: StandInOpenAI) -> None:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
    settings = settings_for(provider.base_url)
    library.answer(library.ask(chat=chat), settings)
    library.answer(library.ask("And what does the pump weigh?", chat=chat), settings)
    roles = [turn["role"] for turn in provider.chat_requests()[1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_follow_up_that_finds_nothing_by_itself_is_searched_with_the_question_before(
    library: Library, provider: StandInOpenAI
) -> None:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
    settings = settings_for(provider.base_url)
    first = library.answer(library.ask("What is the warranty period of the Falcon pump?", chat=chat), settings)
    assert first.standalone is None
    again = library.answer(library.ask("And elsewhere?", chat=chat, profile={"k": 1}), settings)
    assert again.standalone == "What is the warranty period of the Falcon pump? And elsewhere?"
    assert "question before" not in first.phases[1].detail
    assert "together with the question before" in again.phases[1].detail
    assert again.passages[0].document == "pump.txt"
    latest = provider.chat_requests()[1].body["messages"][-1]["content"]
    assert latest.endswith("Question: And elsewhere?")


def test_hostile_output_is_defused_before_it_is_stored(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(
        Say(["See [99] <script>alert", "(1)</script> ![x](https://evil", ".example/p.png) [go](https://evil.example)."])
    )
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert answer.phase == "complete"
    assert "[99]" not in answer.content
    assert "<script" not in answer.content
    assert "![x](" not in answer.content
    assert answer.content.split("`")[1::2] == ["https://evil.example/p.png", "https://evil.example"]
    assert "This rests on no passage" in answer.content, "of its numbers none was given"
    library.check_citations(answer)
    assert answer.content == joined_deltas(library, answer)


def test_silence_ends_in_words_and_keeps_what_was_said(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Hang(30, ["The warranty is 27 months [1]."]))
    answer = library.answer(library.ask(), settings_for(provider.base_url, chat_timeout_s=2))
    assert (answer.phase, answer.content) == ("failed", "The warranty is 27 months [1].")
    assert answer.error == "The chat model said nothing for 2 seconds."
    assert answer.error_hint
    library.check_citations(answer)


@pytest.mark.parametrize("behaviour", [Hang(30), Hang(30, pings=True)])
def test_a_server_that_never_says_a_word_is_given_up_on(
    library: Library, provider: StandInOpenAI, behaviour: Hang
) -> None:
    provider.chat.append(behaviour)
    answer = library.answer(library.ask(), settings_for(provider.base_url, chat_timeout_s=0.5))
    assert answer.phase == "failed"
    assert "said nothing" in str(answer.error)


def test_a_broken_stream_fails_and_a_retry_answers(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(BreakOff(["The warranty "]))
    settings = settings_for(provider.base_url)
    answer = library.answer(library.ask(), settings)
    assert (answer.phase, answer.content) == ("failed", "The warranty ")
    assert "broke off" in str(answer.error)
    with library.database.as_user(library.user) as conn:
        assert retry_answer(conn, answer.id)
    again = library.answer(answer.id, settings)
    assert (again.phase, again.content, again.error) == ("complete", "The passages say so [1].", None)
    assert phases(again)[0] == "analyzing"


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Status(401), "did not accept the key"),
        (Status(404), "no chat model named “stand-in”"),
        (Status(400, message="context too long"), "context too long"),
        (Status(429, code="insufficient_quota"), "quota"),
        (Status(429, retry_after=3600), "left alone for 60 minutes"),
        (Garbage(), "can't be read"),
        (Garbage("not json", stream=True), "can't be read"),
        (Garbage("5", stream=True), "can't be read"),
        (Garbage('{"error": {"message": "out of memory"}}', stream=True), "out of memory"),
        (Say(["half"], finish=None), "broke off"),
        (Say([]), "empty answer"),
    ],
)
def test_a_failing_server_ends_in_words(library: Library, provider: StandInOpenAI, behaviour: Say, said: str) -> None:
    provider.chat.append(behaviour)
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert answer.phase == "failed"
    assert said in str(answer.error)
    assert answer.error_hint
    assert len(provider.chat_requests()) == 1


def test_an_unreachable_server_ends_in_words(library: Library) -> None:
    answer = library.answer(library.ask(), settings_for("http://127.0.0.1:9/v1"))
    assert answer.phase == "failed"
    assert "connection" in str(answer.error)


def test_a_busy_server_is_asked_again_when_it_wishes(library: Library, provider: StandInOpenAI) -> None:
    provider.chat += [Status(429, retry_after=1), Say(["27 months [1]."])]
    message = library.ask()
    seen: set[str] = set()

    def finished() -> bool:
        answer = library.read(message)
        seen.update(note.detail for note in answer.phases)
        return answer.finished

    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(finished)
    first, second = provider.chat_requests()
    assert second.at - first.at >= 1
    assert any("busy. Asking again in 1 s (1 of 4)" in detail for detail in seen)
    assert library.read(message).content == "27 months [1]."


def test_a_server_that_stays_busy_is_given_up_on(library: Library, provider: StandInOpenAI) -> None:
    provider.default_chat = Status(429, retry_after=0)
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert (answer.phase, len(provider.chat_requests())) == ("failed", 5)
    assert "asked 5 times" in str(answer.error)


def test_a_busy_embedding_server_is_sat_out(library: Library) -> None:
    left = [ProviderBusy(retry_after=0), ProviderBusy(retry_after=0)]

    def busy() -> None:
        if left:
            raise left.pop()

    library.embedder.before = busy
    assert library.answer(library.ask(), EXTRACTIVE).phase == "complete"
    assert left == []


def test_a_flood_is_cut_off_with_a_word(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Flood(10_000_000))
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    assert answer.phase == "complete"
    assert 40_000 < len(answer.content) < 50_000
    assert answer.content.endswith("the answer grew beyond 40,000 characters.*")


def test_text_is_written_at_most_ten_times_a_second(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["word "] * 200, delay_s=0.005))
    answer = library.answer(library.ask(), settings_for(provider.base_url))
    times, seconds = library.value(
        "select array[count(*)::float, extract(epoch from max(created_at) - min(created_at))]"
        " from public.message_deltas where message_id = %s",
        answer.id,
    )
    assert 3 <= times <= 10 * seconds + 2
    assert answer.content == "word " * 200


def test_a_stop_is_obeyed_while_the_model_writes(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["The warranty is 27 months [1]. "] * 500, delay_s=0.05))
    message = library.ask()
    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(lambda: deltas_of(library, message) > 0)
        with library.database.as_user(library.user) as conn:
            assert stop_answer(conn, message)
    answer = library.read(message)
    assert answer.phase == "stopped"
    assert 0 < len(answer.content) < 10_000
    assert answer.content == joined_deltas(library, answer)
    assert len(answer.citations) == answer.content.count("[1]")
    assert re.fullmatch(r"stand-in wrote about [\d,]+ tokens.* until then\.", answer.phases[2].detail)
    library.check_citations(answer)


def test_a_stop_is_obeyed_while_the_model_is_silent(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Hang(60))
    message = library.ask()
    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(lambda: bool(provider.chat_requests()))
        with library.database.as_user(library.user) as conn:
            assert stop_answer(conn, message)
    assert library.read(message).phase == "stopped"


def test_a_lost_lease_ends_the_writing(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["word "] * 1000, delay_s=0.05))
    message = library.ask()
    ours = True

    def work() -> None:
        with pytest.raises(LeaseLost):
            library.answer(message, settings_for(provider.base_url), lambda: ours)

    with in_thread(work):
        wait_until(lambda: deltas_of(library, message) > 0)
        ours = False
    assert library.read(message).phase == "generating"


def test_an_attempt_that_was_taken_over_can_t_write_any_more(library: Library, provider: StandInOpenAI) -> None:
    provider.chat += [Say(["stale "] * 200, delay_s=0.05), Say(["fresh [1]."])]
    message = library.ask()
    settings = settings_for(provider.base_url)
    with in_thread(lambda: library.answer(message, settings)):
        wait_until(lambda: deltas_of(library, message) > 0)
        taken_over = library.answer(message, settings)
    assert (taken_over.phase, taken_over.content, taken_over.attempt) == ("complete", "fresh [1].", 2)
    assert taken_over.phases[0].phase == "restarted"
    assert "started again" in taken_over.phases[0].detail
    assert library.read(message) == taken_over
    assert (
        library.value("select count(*) from public.message_deltas where message_id = %s and attempt = 1", message) == 0
    )


def test_an_answer_that_keeps_being_interrupted_is_given_up_on(library: Library, provider: StandInOpenAI) -> None:
    message = library.ask()
    for _ in range(5):
        with pytest.raises(LeaseLost):
            library.answer(message, EXTRACTIVE, still_ours=lambda: False)
    assert library.read(message).phase == "analyzing"
    answer = library.answer(message, EXTRACTIVE)
    assert answer.phase == "failed"
    assert "interrupted 5 times" in str(answer.error)


def test_a_finished_answer_is_left_alone(library: Library) -> None:
    answer = library.answer(library.ask(), EXTRACTIVE)
    assert library.answer(answer.id, EXTRACTIVE) == answer


def test_a_deleted_chat_ends_its_answer(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["word "] * 1000, delay_s=0.05))
    message = library.ask()
    with in_thread(
        lambda: answer_message(
            library.database, library.embedder, settings_for(provider.base_url), message, still_ours=lambda: True
        )
    ):
        wait_until(lambda: deltas_of(library, message) > 0)
        with library.database.as_user(library.user) as conn:
            conn.execute(
                "delete from public.chats where id = (select chat_id from public.messages where id = %s)", [message]
            )
    assert library.value("select count(*) from public.messages where id = %s", message) == 0
