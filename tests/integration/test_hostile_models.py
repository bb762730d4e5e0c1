"""Whatever a chat model's server does, each answer ends readable, safe and in words; and a stop closes the line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from markdown_it import MarkdownIt
from pydantic import SecretStr

from pages.parts.citations import answer_markdown
from rag.chat.chat_records import Message
from rag.chat.chats import create_chat, stop_answer
from rag.settings import Settings
from rag.store.database import Database
from tests.conftest import ALICE
from tests.integration.library import LAKE, PUMP, Library, in_thread, settings_for, wait_until
from tests.integration.test_chat_model import KEY, Babble, Listen
from tests.standin_openai import BreakOff, Exchange, Flood, Garbage, Hang, Say, StandInOpenAI, Status

#: What Markdown makes of words alone.
HARMLESS = {"p", "a", "code", "pre", "em", "strong", "br", "hr", "ol", "ul", "li", "h1", "h2", "h3", "blockquote"}


@pytest.fixture(scope="module")
def library(module_database: Database) -> Library:
    return Library(module_database, ALICE, {"pump.txt": PUMP, "lake.txt": LAKE})


@pytest.fixture
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as running:
        yield running


def answered(library: Library, provider: StandInOpenAI, *, chat_timeout_s: float = 20) -> Message:
    return library.answer(library.ask(), settings_for(provider.base_url, chat_timeout_s=chat_timeout_s))


def check_readable(library: Library, answer: Message) -> None:
    """Final, in words where it failed, cited as it says, and nothing that a browser would fetch, run or follow."""
    assert answer.finished
    if answer.phase == "failed":
        assert answer.error
        assert answer.error_hint
    assert len(answer.content) < 50_000
    assert re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", answer.content) is None
    library.check_citations(answer)
    page = MarkdownIt("commonmark", {"html": True}).render(answer_markdown(answer))
    assert set(re.findall(r"<([a-z0-9]+)", page)) <= HARMLESS, page
    assert all(target.startswith("/document?") for target in re.findall(r"<a [^>]*href=\"([^\"]*)", page)), page


def test_numbers_that_were_not_given_never_show(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["Years [", "99", "] pass [1][98], says [0] and 【77】 and [1, 99]."]))
    answer = answered(library, provider)
    check_readable(library, answer)
    assert answer.phase == "complete"
    assert re.findall(r"\[(\d+)\]", answer.content) == ["1", "1"]
    assert {citation.number for citation in answer.citations} == {1}
    deltas = library.value(
        "select string_agg(text, '' order by seq) from public.message_deltas where message_id = %s", answer.id
    )
    assert not re.search(r"\[(99|98|77|0)\]", deltas), "not for a moment either"


def test_a_model_that_repeats_itself_is_cut_off_in_words(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["The warranty is 27 months [1]. "] * 5000))
    answer = answered(library, provider)
    check_readable(library, answer)
    assert "repeating itself" in answer.content[-200:]
    assert len(answer.content) < 20_000


def test_html_is_shown_as_what_it_is(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(
        Say(["<div onclick='x()'>", "<scr", "ipt>alert(1)</script>", "<iframe src=//evil.example></iframe> 27 [1]."])
    )
    answer = answered(library, provider)
    check_readable(library, answer)
    assert "27 [1]" in answer.content


def test_a_picture_of_a_remote_host_is_an_address_to_read(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(
        Say(["Look ![the pump](https://evil.example/p", ".png?q=secret) and <img src='https://evil.example/i'> ",
             "![][a]\n\n[a]: https://evil.example/r.png\n\nIt is 27 [1]."])
    )  # fmt: skip
    answer = answered(library, provider)
    check_readable(library, answer)
    assert "evil.example" in answer.content


def test_thirty_seconds_of_silence_end_in_words_and_keep_what_was_said(
    library: Library, provider: StandInOpenAI
) -> None:
    provider.chat.append(Hang(30, ["The warranty is 27 months [1]. "]))
    answer = answered(library, provider, chat_timeout_s=1)
    check_readable(library, answer)
    assert (answer.phase, answer.content.strip()) == ("failed", "The warranty is 27 months [1].")
    assert "said nothing for 1 seconds" in str(answer.error)


def test_a_broken_stream_keeps_what_was_said(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(BreakOff(["The warranty is 27 months [1]. Claims "]))
    answer = answered(library, provider)
    check_readable(library, answer)
    assert (answer.phase, answer.content) == ("failed", "The warranty is 27 months [1]. Claims ")


def test_a_busy_server_is_asked_again_when_it_wishes(library: Library, provider: StandInOpenAI) -> None:
    provider.chat += [Status(429, retry_after=1), Say(["It is 27 [1]."])]
    answer = answered(library, provider)
    check_readable(library, answer)
    first, second = provider.chat_requests()
    assert answer.content == "It is 27 [1]."
    assert second.at - first.at >= 1


@pytest.mark.parametrize("retry_after", ["-5", "soon", "99999999999", "Wed, 21 Oct 2099 07:28:00 GMT", "nan", "1e999"])
def test_no_wish_of_a_busy_server_lets_an_answer_hang(
    library: Library, provider: StandInOpenAI, retry_after: str
) -> None:
    provider.chat.append(Status(429, retry_after=retry_after))
    answer = answered(library, provider)
    check_readable(library, answer)


def test_ten_megabytes_are_cut_off_and_not_drained(library: Library, provider: StandInOpenAI) -> None:
    behaviour = Babble()
    provider.chat.append(behaviour)
    answer = answered(library, provider)
    check_readable(library, answer)
    assert answer.phase == "complete"
    assert "grew beyond 40,000 characters" in answer.content[-200:]
    assert behaviour.over.wait(30)
    assert behaviour.sent < 20_000_000


def test_ten_megabytes_in_one_piece_are_cut_off_too(library: Library, provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["".join(f"{n} and " for n in range(1_000_000))]))
    answer = answered(library, provider)
    check_readable(library, answer)
    assert answer.content.startswith("0 and 1 and")


@pytest.mark.parametrize(
    "behaviour",
    [
        Flood(10_000_000),
        Garbage("not json", stream=True),
        Garbage(
            '{"choices": [{"delta": {"content": "\\u0000\\ud800 27 \\u0007[1]"}, "finish_reason": "stop"}]}',
            stream=True,
        ),
        Garbage("{" * 50_000, stream=True),
        Say(["```\nunclosed code with [1] and <b>"]),
        Say(["\\" * 500, "[1](javascript:alert(1)) $\\href{https://evil.example}{x}$ :red[x] :material/home:"]),
        Say(["| a | b |\n|---|---|\n" * 3, "[^1]: https://evil.example"]),
    ],
)  # fmt: skip
def test_everything_else_ends_readable_too(
    library: Library, provider: StandInOpenAI, behaviour: Flood | Garbage | Say
) -> None:
    provider.chat.append(behaviour)
    check_readable(library, answered(library, provider))


def test_the_key_reaches_no_row(library: Library, provider: StandInOpenAI) -> None:
    settings = Settings(
        _env_file=None, openai_base_url=provider.base_url, openai_api_key=SecretStr(KEY), chat_model="stand-in"
    )
    for behaviour in (Say([f"It is {KEY[:7]}", f"{KEY[7:]} [1]."]), Status(400, message=f"{KEY} is no key")):
        provider.chat.append(behaviour)
        library.answer(library.ask(), settings)
    assert len(provider.chat_requests()) == 2
    with library.database.as_owner() as conn:
        tables = conn.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('public', 'corpuscope', 'pgmq')"
        ).fetchall()
        for (table,) in tables:
            found = conn.execute(f"select count(*) from {table} t where t::text like %s", [f"%{KEY}%"]).fetchone()
            assert found == (0,), table


@pytest.mark.parametrize("pieces", [[], ["The warranty is "]], ids=["before the first word", "after it"])
def test_a_stop_closes_the_line_of_a_silent_model(library: Library, provider: StandInOpenAI, pieces: list[str]) -> None:
    behaviour = Listen(pieces, seconds=30)
    provider.chat.append(behaviour)
    message = library.ask()
    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(lambda: bool(provider.chat_requests()) and (not pieces or wrote(library, message)))
        stop(library, message)
    assert behaviour.over.wait(30)
    assert behaviour.hung_up_at is not None, "the connection stayed open until the server gave up"
    assert library.read(message).phase == "stopped"


def test_a_stop_closes_the_line_of_a_model_that_writes(library: Library, provider: StandInOpenAI) -> None:
    class Writing(Listen):
        def answer(self, exchange: Exchange) -> None:
            exchange.start_stream()
            for number in range(1000):
                exchange.send_piece(f"word {number} ")
                if (gone := exchange.wait_for_hang_up(0.05)) is not None:
                    self.hung_up_at = gone
                    break
            self.over.set()

    behaviour = Writing()
    provider.chat.append(behaviour)
    message = library.ask()
    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(lambda: wrote(library, message))
        stop(library, message)
    assert behaviour.over.wait(60)
    assert behaviour.hung_up_at is not None, "the model was drained to its end"
    answer = library.read(message)
    assert answer.phase == "stopped"
    assert "word 999 " not in answer.content


def test_a_stop_ends_the_waiting_for_a_busy_server(library: Library, provider: StandInOpenAI) -> None:
    provider.default_chat = Status(429, retry_after=50)
    message = library.ask()
    with in_thread(lambda: library.answer(message, settings_for(provider.base_url))):
        wait_until(lambda: bool(provider.chat_requests()))
        stop(library, message)
    assert library.read(message).phase == "stopped"
    assert len(provider.chat_requests()) == 1


def test_a_conversation_at_its_cap_is_told_so_and_the_model_is_left_alone(
    library: Library, provider: StandInOpenAI
) -> None:
    with library.database.as_user(library.user) as conn:
        chat = create_chat(conn, library.collection)
    settings = Settings(
        _env_file=None, openai_base_url=provider.base_url, chat_model="stand-in", chat_tokens_per_conversation=500
    )
    provider.chat.append(Say(["It is 27 [1]."], usage=(400, 100)))
    assert library.answer(library.ask(chat=chat), settings).phase == "complete"
    answer = library.answer(library.ask("And its weight?", chat=chat), settings)
    check_readable(library, answer)
    assert "500 of 500 tokens" in str(answer.error)
    assert len(provider.chat_requests()) == 1
    assert library.answer(library.ask(), settings).phase == "complete", "another conversation goes on"


def wrote(library: Library, message: UUID) -> bool:
    return bool(library.value("select count(*) from public.message_deltas where message_id = %s", message))


def stop(library: Library, message: UUID) -> None:
    with library.database.as_user(library.user) as conn:
        assert stop_answer(conn, message)
