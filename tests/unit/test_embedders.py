"""The hosted embedder against a small server that answers as told, and local embedding with a fake encoder."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.chunks.tokens import ModelTokens
from rag.errors import ModelNotReady, ProviderBusy, ProviderError, ProviderRefused, TextTooLong
from rag.settings import load_settings
from rag.vectors.embedders import LocalEmbedder, load_embedder, load_question_encoder, load_tokens, question_parts
from rag.vectors.hosted_embedder import MAX_TEXTS, MAX_TOKENS, OpenAIEmbedder, retry_after
from rag.vectors.models import ModelInfo, describe_model, packaged_folder

INFO = ModelInfo("openai", "some-model", 3, 600, "q: ", "p: ", None)

Answer = tuple[int, dict[str, str], bytes]


class FakeServer(ThreadingHTTPServer):
    """Keeps the requests; ``answer`` says what to reply."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Answer] = good

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that lost patience
            super().handle()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append({**request, "path": self.path, "key": self.headers["authorization"]})
        status, headers, body = self.server.answer(request)
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def vector(text: str) -> list[float]:
    return [float(len(text)), 2.0, 1.0]


def vectors(rows: list[tuple[int, Any]]) -> Answer:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in rows]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return 200, {}, json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()


def good(request: dict[str, Any]) -> Answer:
    """In reverse order, which the protocol allows."""
    return vectors([(index, vector(text)) for index, text in enumerate(request["input"])][::-1])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tokens() -> ModelTokens:
    return ModelTokens.from_folder(packaged_folder(), window=INFO.window, passage_prefix=INFO.passage_prefix)


@pytest.fixture
def embedder(server: FakeServer, tokens: ModelTokens) -> OpenAIEmbedder:
    return OpenAIEmbedder(INFO, tokens, api_key="secret", base_url=server.url, timeout_s=5)


def test_vectors_come_back_in_order_with_unit_length(server: FakeServer, embedder: OpenAIEmbedder) -> None:
    found = embedder.embed_passages(["a", "four", "three"])
    assert found.dtype == np.float32
    for row, text in zip(found, ("p: a", "p: four", "p: three"), strict=True):
        np.testing.assert_allclose(row, np.array(vector(text)) / np.linalg.norm(vector(text)), rtol=1e-6)
    (request,) = server.requests
    assert (request["path"], request["key"], request["model"]) == ("/v1/embeddings", "Bearer secret", "some-model")
    assert request["input"] == ["p: a", "p: four", "p: three"]
    assert "dimensions" not in request
    assert embedder.embed_question("what").shape == (3,)
    assert server.requests[-1]["input"] == ["q: what"]
    assert embedder.embed_passages([]).shape == (0, 3)


def test_dimensions_are_asked_for(server: FakeServer, tokens: ModelTokens) -> None:
    asking = OpenAIEmbedder(INFO, tokens, api_key="", base_url=server.url, ask_dimensions=True)
    asking.embed_question("what")
    assert server.requests[0]["dimensions"] == 3


def test_batches_are_bounded(server: FakeServer, embedder: OpenAIEmbedder) -> None:
    texts = [f"text {n}" for n in range(2 * MAX_TEXTS + 1)]
    assert embedder.embed_passages(texts).shape == (len(texts), 3)
    assert [len(request["input"]) for request in server.requests] == [MAX_TEXTS, MAX_TEXTS, 1]
    server.requests.clear()
    embedder.embed_passages(["word " * 590] * 200)
    sizes = [len(request["input"]) for request in server.requests]
    assert sum(sizes) == 200
    assert max(sizes) <= MAX_TOKENS // 590


def test_too_long_a_text_is_refused_unsent(server: FakeServer, embedder: OpenAIEmbedder) -> None:
    with pytest.raises(TextTooLong, match="the model reads 600"):
        embedder.embed_passages(["word " * 700])
    assert server.requests == []
    embedder.embed_question("word " * 700)
    assert len(server.requests[0]["input"]) == 2


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (429, ProviderBusy, "busy"),
        (500, ProviderBusy, "busy"),
        (503, ProviderBusy, "busy"),
        (400, ProviderRefused, "too rude"),
        (422, ProviderRefused, "too rude"),
        (401, ProviderError, "key"),
        (404, ProviderError, "404"),
    ],
)
def test_errors_are_told_apart(
    server: FakeServer, embedder: OpenAIEmbedder, status: int, error: type[ProviderError], said: str
) -> None:
    server.answer = lambda _: (status, {"retry-after": "7"}, b'{"error": {"message": "too rude"}}')
    with pytest.raises(ProviderError, match=said) as caught:
        embedder.embed_passages(["a"])
    assert type(caught.value) is error
    assert len(server.requests) == 1, "the queue retries, not the client"
    if isinstance(caught.value, ProviderBusy):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"garbage"),
        (200, {}, b"{}"),
        (200, {}, b'{"data": null}'),
        (200, {}, b'{"data": [{"index": 0}]}'),
        (200, {"content-type": "text/html"}, b"<html>hello</html>"),
        vectors([]),
        vectors([(0, [1.0, 2.0])]),
        vectors([(0, [1.0, 2.0, 3.0, 4.0])]),
        vectors([(1, [1.0, 2.0, 3.0])]),
        vectors([(0, [1.0, 2.0, 3.0]), (1, [1.0, 2.0, 3.0])]),
        vectors([(0, [0.0, 0.0, 0.0])]),
        vectors([(0, [float("nan"), 0.0, 1.0])]),
        vectors([(0, "text")]),
        vectors([(0, [None, 1, 2])]),
    ],
)
def test_an_answer_that_is_wrong_in_any_way_is_never_a_vector(
    server: FakeServer, embedder: OpenAIEmbedder, answer: Answer
) -> None:
    server.answer = lambda _: answer
    with pytest.raises(ProviderError):
        embedder.embed_passages(["a"])


def test_silence_is_busy(server: FakeServer, tokens: ModelTokens) -> None:
    def slow(request: dict[str, Any]) -> Answer:
        time.sleep(0.6)
        return good(request)

    server.answer = slow
    impatient = OpenAIEmbedder(INFO, tokens, api_key="", base_url=server.url, timeout_s=0.2)
    with pytest.raises(ProviderBusy, match="in time"):
        impatient.embed_question("what")


def test_nobody_there_is_busy(tokens: ModelTokens) -> None:
    nobody = OpenAIEmbedder(INFO, tokens, api_key="", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ProviderBusy, match="can't be reached"):
        nobody.embed_question("what")


def test_retry_after() -> None:
    assert retry_after(None, None) is None
    assert retry_after("1500", "9") == 1.5
    assert retry_after(None, "12.5") == 12.5
    assert retry_after("soon", "-3") is None
    assert retry_after(None, "inf") is None
    later = retry_after(None, format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None
    assert 50 < later <= 60


def test_settings_choose_the_embedder(server: FakeServer, tmp_path: Path) -> None:
    hosted = load_settings(None).model_copy(
        update={
            "embedding_provider": "openai",
            "embedding_model": "some-model",
            "embedding_dimensions": 3,
            "embedding_base_url": server.url,
        }
    )
    for load in (load_embedder, load_question_encoder):
        embedder = load(hosted)
        assert embedder.info == describe_model(hosted)
        assert embedder.embed_question("what").shape == (3,)
    assert [request["dimensions"] for request in server.requests] == [3, 3]
    assert load_tokens(hosted).window == 512
    with pytest.raises(ModelNotReady):
        load_question_encoder(load_settings(None).model_copy(update={"corpuscope_home": tmp_path}))


class FakeEncoder:
    """Remembers what it was given; the vector counts letters."""

    def __init__(self, tokens: ModelTokens) -> None:
        self.info, self.tokens = INFO, tokens
        self.seen: list[str] = []

    def encode(self, texts: Any) -> Any:
        self.seen += texts
        return np.array([[text.count("a"), text.count("b"), 1] for text in texts], np.float32)


def test_prefixes(tokens: ModelTokens) -> None:
    encoder = FakeEncoder(tokens)
    embedder = LocalEmbedder(encoder)
    embedder.embed_passages(["a"])
    embedder.embed_question("b")
    assert encoder.seen == ["p: a", "q: b"]


def test_question_parts_hold_the_whole_question(tokens: ModelTokens) -> None:
    text = "how much wood would a woodchuck chuck " * 300
    parts = question_parts(text, INFO, tokens)
    assert "".join(part.removeprefix("q: ") for part in parts) == text
    assert max(tokens.counts(parts)) <= INFO.window
    assert question_parts("short", INFO, tokens) == ["q: short"]
