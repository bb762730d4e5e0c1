"""The list of models: what counts as a chat model, and that nobody waits for the server."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from rag.chat.models_on_offer import Shelf, models_url, offered_models, read_names
from rag.errors import ProviderError
from rag.settings import Settings


def listed(*names: Any) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


def test_what_is_no_chat_model_is_left_out() -> None:
    body = listed("gpt-4o-mini", "text-embedding-3-small", "whisper-1", "models/gemini-2.5-flash", "gpt-4o", "tts-1")
    assert read_names(body) == ["gemini-2.5-flash", "gpt-4o", "gpt-4o-mini"]


def test_names_from_outside_are_kept_in_bounds() -> None:
    body = listed(7, None, "", "x" * 300, "line\nbreak", "fine", "fine", *[f"m{n}" for n in range(1000)])
    names = read_names(body)
    assert "fine" in names
    assert len(names) == 500
    assert all(name.isprintable() and len(name) <= 200 for name in names)


def test_a_bare_list_will_do() -> None:
    assert read_names(b'[{"id": "a"}]') == ["a"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data": 5}', b'{"data": [5]}', b"[" * 100_000, b"\xff"])
def test_what_is_no_list_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ProviderError, match="no list of models"):
        read_names(body)


def test_a_web_page_is_called_one() -> None:
    with pytest.raises(ProviderError, match="a web page"):
        read_names(b"<html>", "text/html; charset=utf-8")


def test_addresses_with_and_without_a_slash_are_the_same() -> None:
    assert models_url("http://x/v1/") == models_url("http://x/v1") == "http://x/v1/models"
    assert models_url("") == "https://api.openai.com/v1/models"


def test_nobody_waits_for_the_server_and_the_next_one_knows() -> None:
    asked, answered = threading.Event(), threading.Event()

    def fetch() -> list[str]:
        asked.set()
        assert answered.wait(10)
        return ["a", "b"]

    shelf = Shelf(fetch)
    assert shelf.names() == []
    assert asked.wait(10)
    assert shelf.names() == []
    answered.set()
    _settle()
    assert shelf.names() == ["a", "b"]


def test_a_list_is_renewed_once_it_is_old_and_a_failure_keeps_the_names_of_before() -> None:
    now, answers = [0.0], [["a"], ["b"]]

    def fetch() -> list[str]:
        if not answers:
            raise ProviderError("gone")
        return answers.pop(0)

    shelf = Shelf(fetch, clock=lambda: now[0])
    seen = []
    for now[0] in (0, 299, 301, 302, 700, 710, 740):
        shelf.names()
        _settle()
        seen.append((shelf.names(), len(answers)))
        _settle()
    assert seen == [(["a"], 1), (["a"], 1), (["b"], 0), (["b"], 0), (["b"], 0), (["b"], 0), (["b"], 0)]


def _settle() -> None:
    for thread in threading.enumerate():
        if thread.name == "chat models":
            thread.join(10)


def test_named_models_are_offered_without_asking_anybody() -> None:
    settings = Settings(
        _env_file=None, chat_model="small", chat_models="large,small", openai_base_url="http://127.0.0.1:9/v1"
    )
    assert offered_models(settings) == ["small", "large"]


def test_without_a_chat_model_none_is_offered() -> None:
    assert offered_models(Settings(_env_file=None, chat_models="large")) == []
