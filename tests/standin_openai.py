"""A stand-in for an OpenAI-compatible server: real HTTP on a free port of 127.0.0.1, behaving as scripted.

    with StandInOpenAI() as server:
        server.embeddings += [Status(429, retry_after=1), Garbage()]   # the first two requests; then Vectors() again
        server.chat += [Say(["The answer", " is 27 [1]."], delay_s=0.1)]
        ... base URL: server.base_url, any key; server.requests is what was asked

Each request takes the next behaviour of its list; an empty list means the default (``default_chat``,
``default_embeddings``). Requests to rewrite a follow-up have a list of their own (``rewrites``) and by default get the
question back unchanged, so that the script of a conversation is that of its answers.
"""

from __future__ import annotations

import hashlib
import json
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol

from rag.chat.rewriting import LAST, RULES


@dataclass(frozen=True)
class Request:
    """What a client sent; ``at`` is on the monotonic clock."""

    path: str
    body: dict[str, Any]
    authorization: str
    at: float


class Exchange:
    """One request being answered; behaviours write through it."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request, closing: threading.Event) -> None:
        self._handler = handler
        self.request = request
        self._closing = closing

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the end of the server."""
        self._closing.wait(seconds)

    def send_json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send(json.dumps(body).encode(), "application/json", status, headers)

    def send(self, data: bytes, content_type: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._handler.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(data)), **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()
        self._handler.wfile.write(data)

    def start_stream(self) -> None:
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "text/event-stream")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()

    def send_event(self, data: str) -> None:
        self.send_raw(f"data: {data}\n\n")

    def send_raw(self, text: str) -> None:
        data = text.encode()
        self._handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self._handler.wfile.flush()

    def send_piece(self, content: str | None, finish: str | None = None) -> None:
        delta = {} if content is None else {"content": content}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        model = self.request.body.get("model", "")
        self.send_event(
            json.dumps(
                {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]}
            )
        )

    def end_stream(self) -> None:
        self.send_event("[DONE]")
        self._handler.wfile.write(b"0\r\n\r\n")

    def send_usage(self, read: int, written: int) -> None:
        """Count the tokens, as servers do at the end of a stream to those who asked for it."""
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        self.send_event(json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": usage}))

    def wait_for_hang_up(self, seconds: float) -> float | None:
        """When the client closed the connection, on the monotonic clock; None if it doesn't within ``seconds``."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._closing.is_set():
            readable, _, _ = select.select([self._handler.connection], [], [], 0.02)
            if readable and not self._handler.connection.recv(1, socket.MSG_PEEK):
                return time.monotonic()
        return None

    def cut(self) -> None:
        """Drop the connection in the middle."""
        self._handler.close_connection = True
        self._handler.connection.close()


class Behaviour(Protocol):
    def answer(self, exchange: Exchange) -> None: ...


@dataclass(frozen=True)
class Say:
    """Stream ``pieces`` with ``delay_s`` before each; ``finish`` None leaves out the finish reason.

    ``usage``: tokens read and written, told at the end to those who asked.
    """

    pieces: Sequence[str]
    delay_s: float = 0.0
    finish: str | None = "stop"
    usage: tuple[int, int] | None = None

    def answer(self, exchange: Exchange) -> None:
        exchange.start_stream()
        for piece in self.pieces:
            exchange.pause(self.delay_s)
            exchange.send_piece(piece)
        if self.finish:
            exchange.send_piece(None, self.finish)
        if self.usage and exchange.request.body.get("stream_options", {}).get("include_usage"):
            exchange.send_usage(*self.usage)
        exchange.end_stream()


@dataclass(frozen=True)
class Models:
    """The list of models, each named as in ``names``."""

    names: Sequence[str] = ("stand-in",)
    delay_s: float = 0.0

    def answer(self, exchange: Exchange) -> None:
        exchange.pause(self.delay_s)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "stand-in"} for name in self.names]
        exchange.send_json({"object": "list", "data": data})


@dataclass(frozen=True)
class Status:
    """An error status, with ``Retry-After`` if given."""

    status: int
    retry_after: float | str | None = None
    message: str = "scripted error"
    code: str | None = None

    def answer(self, exchange: Exchange) -> None:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        error = {"message": self.message, "type": "scripted", "code": self.code}
        exchange.send_json({"error": error}, self.status, headers)


@dataclass(frozen=True)
class Garbage:
    """Status 200 with something that is not an answer; in a stream when ``stream``."""

    text: str = "<html>gateway</html>"
    stream: bool = False

    def answer(self, exchange: Exchange) -> None:
        if not self.stream:
            exchange.send(self.text.encode(), "application/json")
            return
        exchange.start_stream()
        exchange.send_piece("Some ")
        exchange.send_event(self.text)
        exchange.end_stream()


@dataclass(frozen=True)
class Hang:
    """Say ``pieces`` and then nothing for ``seconds``; with ``pings`` comments keep the connection busy."""

    seconds: float = 30.0
    pieces: Sequence[str] = ()
    pings: bool = False

    def answer(self, exchange: Exchange) -> None:
        if not self.pieces and not self.pings:
            exchange.pause(self.seconds)
            return exchange.cut()
        exchange.start_stream()
        for piece in self.pieces:
            exchange.send_piece(piece)
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            exchange.pause(0.2 if self.pings else self.seconds)
            if self.pings:
                exchange.send_raw(": ping\n\n")
        return exchange.cut()


@dataclass(frozen=True)
class BreakOff:
    """Say ``pieces`` and drop the connection."""

    pieces: Sequence[str] = ("The warranty ",)

    def answer(self, exchange: Exchange) -> None:
        exchange.start_stream()
        for piece in self.pieces:
            exchange.send_piece(piece)
        exchange.cut()


@dataclass(frozen=True)
class Flood:
    """Stream ``chars`` characters, ``piece`` after ``piece``, each with a number so that it is no repetition."""

    chars: int = 10_000_000
    piece: str = "words and words and more words "

    def answer(self, exchange: Exchange) -> None:
        exchange.start_stream()
        for start in range(0, self.chars, 1000):
            exchange.send_piece("".join(f"{self.piece}{n} " for n in range(start, start + 32)))
        exchange.send_piece(None, "stop")
        exchange.end_stream()


@dataclass(frozen=True)
class Vectors:
    """Embeddings that depend on the text alone; ``spare`` more (or fewer) of them than asked for."""

    dimensions: int = 8
    spare: int = 0
    delay_s: float = 0.0

    def answer(self, exchange: Exchange) -> None:
        exchange.pause(self.delay_s)
        asked = exchange.request.body["input"]
        texts = [asked] if isinstance(asked, str) else list(asked)
        texts = texts[: len(texts) + self.spare] if self.spare < 0 else [*texts, *["spare"] * self.spare]
        dimensions = exchange.request.body.get("dimensions", self.dimensions)
        data = [
            {"object": "embedding", "index": i, "embedding": vector_of(text, dimensions)}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        exchange.send_json({"object": "list", "data": data, "model": exchange.request.body["model"], "usage": usage})


def vector_of(text: str, dimensions: int) -> list[float]:
    """The vector that :class:`Vectors` gives to ``text``: unit length, pseudo-random."""
    digest = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    values = [int.from_bytes(digest[i : i + 2], "big") / 32768 - 1 for i in range(0, 2 * dimensions, 2)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


@dataclass(frozen=True)
class Unchanged:
    """Give a question back that was to be rewritten."""

    def answer(self, exchange: Exchange) -> None:
        question = exchange.request.body["messages"][-1]["content"].rpartition(LAST)[2]
        Say([question]).answer(exchange)


def is_rewriting(request: Request) -> bool:
    """Whether a follow-up is to be rewritten, and nothing to be answered."""
    messages = request.body.get("messages") or [{}]
    return request.path.endswith("/chat/completions") and messages[0].get("content") == RULES


@dataclass
class StandInOpenAI:
    """The server; a context manager. Change its scripts while it runs as you like."""

    chat: list[Behaviour] = field(default_factory=list)
    rewrites: list[Behaviour] = field(default_factory=list)
    embeddings: list[Behaviour] = field(default_factory=list)
    default_chat: Behaviour = field(default_factory=lambda: Say(["The passages say so [1]."]))
    models: Behaviour = field(default_factory=Models)
    default_embeddings: Behaviour = field(default_factory=Vectors)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL has to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def chat_requests(self) -> list[Request]:
        """The chat completions asked for so far, less those that only rewrite a question."""
        asked = [request for request in self.requests if request.path.endswith("/chat/completions")]
        return [request for request in asked if not is_rewriting(request)]

    def rewriting_requests(self) -> list[Request]:
        """The requests to rewrite a follow-up so far."""
        return [request for request in self.requests if is_rewriting(request)]

    def __enter__(self) -> StandInOpenAI:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, request: Request) -> Behaviour | None:
        path = request.path
        if not path.startswith("/v1/"):
            return None
        if is_rewriting(request):
            return self.rewrites.pop(0) if self.rewrites else Unchanged()
        if path.endswith("/chat/completions"):
            return self.chat.pop(0) if self.chat else self.default_chat
        if path.endswith("/embeddings"):
            return self.embeddings.pop(0) if self.embeddings else self.default_embeddings
        return self.models if path.endswith("/models") else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                request = Request(self.path, body, self.headers.get("Authorization", ""), time.monotonic())
                standin.requests.append(request)
                behaviour = standin._next(request) or Status(404, message="no such path")
                try:
                    behaviour.answer(Exchange(self, request, standin._closing))
                except OSError:  # the client went away, as some tests want
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet: tests read ``requests``."""

        return Handler
