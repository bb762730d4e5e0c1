"""One chat model over real HTTP, without a database: hanging up, counting, asking again, and what servers do wrong."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from rag.chat.chat_records import Usage
from rag.chat.connection_check import check_connection, describe_server
from rag.chat.llm import ChatModel, Reply, chat_model
from rag.chat.models_on_offer import fetch_models, read_offer
from rag.chat.prompts import Turn
from rag.chat.replies import whole_reply
from rag.cli import make_parser
from rag.commands.cli_output import Output
from rag.errors import InvalidInput, ProviderBusy, ProviderError, ProviderRefused
from rag.settings import Settings
from tests.integration.library import in_thread, wait_until
from tests.standin_openai import BreakOff, Exchange, Garbage, Hang, Models, Say, StandInOpenAI, Status

KEY = "sk-standin-0123456789abcdef"
TURNS: list[Turn] = [{"role": "user", "content": "How long is the warranty?"}]


@dataclass
class Listen:
    """Say ``pieces`` and wait, for ``seconds``, whether the client hangs up; without pieces not even headers are sent.

    Its thread ends with ``over`` set; ``hung_up_at`` is None if nobody did.
    """

    pieces: list[str] = field(default_factory=list)
    seconds: float = 20.0
    hung_up_at: float | None = None
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, exchange: Exchange) -> None:
        if self.pieces:
            exchange.start_stream()
        for piece in self.pieces:
            exchange.send_piece(piece)
        self.hung_up_at = exchange.wait_for_hang_up(self.seconds)
        self.over.set()


@dataclass
class Babble:
    """Talk for ever, as fast as the line takes it; ``sent`` counts characters until the client is gone."""

    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, exchange: Exchange) -> None:
        exchange.start_stream()
        try:
            while self.sent < 200_000_000:
                piece = "".join(f"and {self.sent + number} " for number in range(100))
                exchange.send_piece(piece)
                self.sent += len(piece)
        finally:
            self.over.set()


@pytest.fixture
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as running:
        yield running


def model(provider: StandInOpenAI, *, silence_s: float = 20.0, longest_s: float = 600.0) -> ChatModel:
    return ChatModel("stand-in", api_key=KEY, base_url=provider.base_url, silence_s=silence_s, longest_s=longest_s)


def settings(provider: StandInOpenAI, name: str = "stand-in", base_url: str = "", models: str = "") -> Settings:
    return Settings(
        _env_file=None, openai_base_url=base_url or provider.base_url, openai_api_key=SecretStr(KEY), chat_model=name,
        chat_models=models,
    )  # fmt: skip


def text_of(reply: Reply) -> str:
    return "".join(reply)


def test_what_a_server_counts_is_what_it_cost(provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["It is ", "27 months."], usage=(321, 12)))
    reply = model(provider).reply(TURNS)
    assert reply.usage == Usage(0, 0, exact=True), "nothing was asked yet"
    assert text_of(reply) == "It is 27 months."
    assert reply.usage == Usage(321, 12, exact=True)
    assert reply.first_word_s is not None


def test_what_a_server_doesn_t_count_is_estimated_never_too_low(provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["It is 27 months."]))
    reply = model(provider).reply(TURNS)
    text_of(reply)
    assert not reply.usage.exact
    assert reply.usage.prompt_tokens >= 6
    assert reply.usage.completion_tokens >= 5


def test_what_was_never_taken_costs_nothing(provider: StandInOpenAI) -> None:
    provider.chat.append(Status(429))
    reply = model(provider).reply(TURNS)
    with pytest.raises(ProviderBusy):
        text_of(reply)
    assert reply.usage.total == 0


def test_what_is_hung_up_on_is_still_paid_for(provider: StandInOpenAI) -> None:
    provider.chat.append(Listen(["It is 27 months and "]))
    reply = model(provider).reply(TURNS)
    with reply:
        for piece in reply:
            if piece:
                break
    assert reply.usage.completion_tokens > 0
    assert not reply.usage.exact


def test_an_old_server_that_can_t_count_is_asked_without(provider: StandInOpenAI) -> None:
    provider.chat.append(Status(400, message="Unrecognized request argument supplied: stream_options"))
    asked = model(provider)
    assert text_of(asked.reply(TURNS)) == "The passages say so [1]."
    assert text_of(asked.reply(TURNS)) == "The passages say so [1]."
    assert ["stream_options" in one.body for one in provider.chat_requests()] == [True, False, False]


@pytest.mark.parametrize("pieces", [[], ["It is "]], ids=["before the first word", "after it"])
def test_hanging_up_closes_the_connection_of_a_silent_server(provider: StandInOpenAI, pieces: list[str]) -> None:
    behaviour = Listen(pieces)
    provider.chat.append(behaviour)
    heard = []
    with model(provider).reply(TURNS) as reply:
        for piece in reply:
            heard.append(piece)
            if provider.chat_requests() and len(heard) >= 3:
                break
    assert behaviour.over.wait(30)
    assert behaviour.hung_up_at is not None, "the connection stayed open"


def test_leaving_the_loop_hangs_up_too(provider: StandInOpenAI) -> None:
    behaviour = Listen(["It is "])
    provider.chat.append(behaviour)

    def listen() -> None:
        for piece in model(provider).reply(TURNS):
            if piece:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        listen()
    assert behaviour.over.wait(30)
    assert behaviour.hung_up_at is not None


def test_a_model_that_is_given_up_on_is_hung_up_on(provider: StandInOpenAI) -> None:
    behaviour = Listen()
    provider.chat.append(behaviour)
    with pytest.raises(ProviderError, match=r"said nothing for 0\.3 seconds"):
        text_of(model(provider, silence_s=0.3).reply(TURNS))
    assert behaviour.over.wait(30)
    assert behaviour.hung_up_at is not None


def test_a_flood_is_cut_off_and_not_drained(provider: StandInOpenAI) -> None:
    behaviour = Babble()
    provider.chat.append(behaviour)
    with model(provider).reply(TURNS) as reply:
        heard = 0
        for piece in reply:
            heard += len(piece)
            if heard > 40_000:
                break
    assert behaviour.over.wait(30)
    assert behaviour.sent < 20_000_000


def test_a_model_that_never_comes_to_an_end_is_cut_off_in_words(provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["word "] * 1000, delay_s=0.02))
    said = text_of(model(provider, longest_s=0.5).reply(TURNS))
    assert said.startswith("word ")
    assert said.endswith("*Stopped here: the model was still writing after 0.5 seconds.*")


@pytest.mark.parametrize("trouble", [Status(500), Status(502), Status(408), BreakOff(())])
def test_passing_trouble_is_tried_again_at_once(provider: StandInOpenAI, trouble: Status | BreakOff) -> None:
    provider.chat += [trouble, trouble]
    assert text_of(model(provider).reply(TURNS)) == "The passages say so [1]."
    first, second, third = [request.at for request in provider.chat_requests()]
    assert second - first >= 0.5
    assert third - second >= 1


def test_trouble_that_stays_is_said_after_three_tries(provider: StandInOpenAI) -> None:
    provider.default_chat = Status(500)
    with pytest.raises(ProviderError, match="status 500"):
        text_of(model(provider).reply(TURNS))
    assert len(provider.chat_requests()) == 3


def test_nothing_is_asked_twice_once_something_was_said(provider: StandInOpenAI) -> None:
    provider.chat.append(BreakOff(["Half an "]))
    reply = model(provider).reply(TURNS)
    said: list[str] = []
    with pytest.raises(ProviderError, match="broke off"):
        said.extend(reply)
    assert "".join(said) == "Half an "
    assert len(provider.chat_requests()) == 1


def test_hanging_up_ends_the_waiting_between_tries(provider: StandInOpenAI) -> None:
    provider.default_chat = Status(500)
    with model(provider).reply(TURNS) as reply:
        for _ in reply:
            if provider.chat_requests():
                break
    assert len(provider.chat_requests()) == 1


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        (Status(302, message="elsewhere"), ProviderError, "sends requests elsewhere"),
        (Status(400, message=f"bad key {KEY}"), ProviderRefused, r"bad key \[the key\]"),
        (Garbage("<html>502</html>"), ProviderError, "can't be read"),
        (Garbage('{"choices": 5}', stream=True), ProviderError, "can't be read"),
        (Garbage('{"choices": [{"delta": {"content": {"a": 1}}}]}', stream=True), ProviderError, "can't be read"),
        (Garbage(f'{{"error": {{"message": "{KEY} is over"}}}}', stream=True), ProviderError, r"\[the key\] is over"),
    ],
)
def test_what_servers_do_wrong_is_said_without_the_key(
    provider: StandInOpenAI, behaviour: Status | Garbage, error: type[ProviderError], said: str
) -> None:
    provider.chat.append(behaviour)
    with pytest.raises(error, match=said) as caught:
        text_of(model(provider).reply(TURNS))
    assert KEY not in f"{caught.value} {caught.value.hint}"


def test_a_web_page_is_called_one(provider: StandInOpenAI) -> None:
    class Page:
        def answer(self, exchange: Exchange) -> None:
            exchange.send(b"<html><body>Sign in</body></html>", "text/html")

    provider.chat.append(Page())
    with pytest.raises(ProviderError, match="a web page"):
        text_of(model(provider).reply(TURNS))


def test_the_key_is_in_no_answer_and_no_log(provider: StandInOpenAI, caplog: pytest.LogCaptureFixture) -> None:
    provider.chat += [
        Say(["Your key is ", KEY[:9], KEY[9:], ", keep it."]),
        Status(500, message=KEY),
        Status(401, message=KEY),
    ]
    with caplog.at_level(logging.DEBUG):
        assert text_of(model(provider).reply(TURNS)) == "Your key is …, keep it."
        with pytest.raises(ProviderError, match="did not accept the key"):
            text_of(model(provider).reply(TURNS))
        check_connection(settings(provider))
        fetch_models(settings(provider))
    assert provider.requests[0].authorization == f"Bearer {KEY}"
    assert KEY not in caplog.text


def test_thoughts_are_paid_for_and_not_shown(provider: StandInOpenAI) -> None:
    provider.chat.append(Say(["<think>", "long thoughts " * 30, "</think>", "\n\nIt is 27."]))
    reply = model(provider).reply(TURNS)
    assert text_of(reply) == "It is 27."
    assert reply.usage.completion_tokens > 100


def test_whole_replies_tell_what_they_cost_however_they_end(provider: StandInOpenAI) -> None:
    spent: list[Usage] = []
    provider.chat += [Say(["all of it"], usage=(10, 3)), BreakOff(["half "])]
    assert whole_reply(model(provider), TURNS, lambda: None, spent.append) == "all of it"
    with pytest.raises(ProviderError):
        whole_reply(model(provider), TURNS, lambda: None, spent.append)
    assert [used.exact for used in spent] == [True, False]


def test_a_model_is_kept_and_only_those_on_offer_can_be_had(provider: StandInOpenAI) -> None:
    chosen = settings(provider, models="large")
    assert chat_model(chosen).name == "stand-in"
    assert chat_model(chosen, "large") is chat_model(chosen, "large")
    with pytest.raises(InvalidInput, match="“huge” is not offered"):
        chat_model(chosen, "huge")
    with pytest.raises(InvalidInput, match="no chat model"):
        chat_model(settings(provider, ""))
    assert chat_model(settings(provider), "huge").name == "huge", "without CHAT_MODELS the server decides"


def test_the_list_names_the_default_first(provider: StandInOpenAI) -> None:
    provider.models = Models(["b", "text-embedding-x", "a"])
    assert read_offer(settings(provider)) == ["stand-in", "a", "b"]


def test_a_good_connection_is_described(provider: StandInOpenAI) -> None:
    provider.models = Models(["stand-in", "other"])
    provider.chat.append(Say(["ready"], usage=(9, 1)))
    verdict = check_connection(settings(provider))
    assert verdict.ok
    assert verdict.words.startswith("stand-in answers: first word after ")
    assert verdict.words.endswith("It counts its tokens. The server lists 2 chat models.")
    assert verdict.first_token_s is not None
    assert describe_server(settings(provider)) == f"{provider.base_url} (with a key)"


@pytest.mark.parametrize(
    ("behaviour", "words", "hint"),
    [
        (Status(401), "did not accept the key", "OPENAI_API_KEY"),
        (Status(404), "no chat model named “stand-in”", "The server lists other."),
        (Status(429, retry_after=7), "The address and the key work. It wants to be left alone for 7 s.", "later"),
        (Say([]), "empty answer", "another model"),
        (Garbage(), "can't be read", "/v1"),
    ],
)
def test_a_bad_connection_is_described_with_what_to_do(
    provider: StandInOpenAI, behaviour: Status, words: str, hint: str
) -> None:
    provider.models = Models(["other"])
    provider.chat.append(behaviour)
    verdict = check_connection(settings(provider))
    assert not verdict.ok
    assert words in verdict.words
    if hint != "later":
        assert hint in verdict.hint


def test_a_forgotten_v1_is_found(provider: StandInOpenAI) -> None:
    short = provider.base_url.removesuffix("/v1")
    verdict = check_connection(settings(provider, base_url=short))
    assert not verdict.ok
    assert verdict.hint == f"A model server answers at {provider.base_url}: set OPENAI_BASE_URL to that."


def test_nobody_there_is_said(provider: StandInOpenAI) -> None:
    verdict = check_connection(settings(provider, base_url="http://127.0.0.1:9/v1"))
    assert (verdict.ok, verdict.listed) == (False, None)
    assert "connection to the chat model failed" in verdict.words


def test_without_a_model_the_server_s_are_named(provider: StandInOpenAI) -> None:
    verdict = check_connection(settings(provider, ""))
    assert not verdict.ok
    assert "No chat model is set" in verdict.words
    assert "stand-in" in verdict.hint


def test_the_command_lists_and_checks_without_a_database(provider: StandInOpenAI) -> None:
    def command(*arguments: str) -> tuple[int, dict[str, Any], str]:
        out = Output(json=True, stdout=io.StringIO(), stderr=io.StringIO())
        chosen = make_parser().parse_args(["chat-models", *arguments])
        code = chosen.run(chosen, settings(provider), out)
        return code, json.loads(out.stdout.getvalue()), out.stderr.getvalue()  # type: ignore[attr-defined]

    code, found, said = command()
    assert (code, found) == (0, {"models": [{"name": "stand-in", "default": True}]})
    assert said == f"Asking {provider.base_url} (with a key).\n"
    code, found, _ = command("check")
    assert (code, found["ok"], found["model"], found["listed"]) == (0, True, "stand-in", 1)
    provider.chat.append(Status(404))
    code, found, _ = command("check", "huge")
    assert (code, found["ok"]) == (1, False)
    assert "no chat model named “huge”" in found["words"]


def test_a_list_without_end_is_given_up_on(provider: StandInOpenAI) -> None:
    class Endless:
        def answer(self, exchange: Exchange) -> None:
            exchange.start_stream()
            while True:
                exchange.send_raw("x" * 100_000)

    provider.models = Endless()
    with pytest.raises(ProviderError, match="without end"):
        fetch_models(settings(provider))


def test_many_replies_at_once_keep_apart(provider: StandInOpenAI) -> None:
    provider.default_chat = Say(["one ", "two ", "three"], delay_s=0.02)
    asked, said = model(provider), []
    workers = [threading.Thread(target=lambda: said.append(text_of(asked.reply(TURNS)))) for _ in range(12)]
    for worker in workers:
        worker.start()
    with in_thread(lambda: wait_until(lambda: len(said) == 12)):
        for worker in workers:
            worker.join(30)
    assert said == ["one two three"] * 12


def test_a_reply_leaves_no_thread_behind(provider: StandInOpenAI) -> None:
    provider.chat.append(Hang(60))
    with model(provider).reply(TURNS) as reply:
        for _ in reply:
            if provider.chat_requests():
                break
    wait_until(lambda: all(thread.name != "chat model" for thread in threading.enumerate()))
