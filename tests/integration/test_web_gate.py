"""The gate over real HTTP: whatever the app serves, a stranger gets none of it, and every route is known here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from rag.auth import sessions, signing_in
from rag.auth.secret_tokens import Signer, load_key, setup_code
from rag.auth.sessions import Session
from rag.commands.first_account import describe_first_account
from rag.settings import Settings
from rag.store.database import Database
from rag.web.entrance import SESSION_HEADER, Entrance
from rag.web.gate import SessionGate
from tests.integration.door import LOCAL, make_first
from tests.integration.webapp import ROOT, SESSION, WebApp, goal_of, running_app

#: Routes that say nothing of anybody; the pages of the sign-in are rag.web's own list.
OPEN = {"/_stcore/health", "/app/static/{path:path}", "/web/{name}", "/auth/login", "/oauth2callback"}
SITE = {"/sign-in", "/sign-up", "/sign-out", "/join", "/reset", "/guest"}
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


@pytest.fixture(scope="module")
def app(module_database: Database) -> Iterator[WebApp]:
    with running_app(module_database) as running:
        yield running


@pytest.fixture(scope="module")
def first(app: WebApp) -> tuple[str, Session]:
    """Somebody's signed cookie, and their session."""
    token, session = make_first(app.database)
    return Signer(load_key(app.settings.corpuscope_home), purpose=SESSION).sign(token), session


def all_routes() -> list[tuple[str, str]]:
    """Every path of the app with every method, the framework's included, as it is put together for AUTH=local."""
    program = (
        "import json\nfrom pages.parts.server import app\n"
        "print(json.dumps([(r.path, sorted(getattr(r, 'methods', None) or [type(r).__name__]))"
        " for r in app._build_starlette_app().routes]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        env={
            **os.environ,
            "AUTH": "local",
            "CORPUSCOPE_HOME": "/nonexistent",
            "DATABASE_URL": "postgresql://x@[::1]:9/x",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[tuple[str, list[str]]] = json.loads(done.stdout.splitlines()[-1])
    return [(path, method) for path, methods in found for method in methods]


def test_every_route_of_the_app_refuses_a_stranger(app: WebApp) -> None:
    routes = all_routes()
    paths = {path for path, _ in routes}
    assert {"/_stcore/stream", "/media/{file_id:path}", "/sign-in"} <= paths
    assert any("upload_file" in path for path in paths)
    assert any("component" in path for path in paths)
    with app.browser() as stranger:
        for path, method in routes:
            if path in OPEN or path in SITE or method == "WebSocketRoute":
                continue
            address = (
                path.replace("{path:path}", "a.js").replace("{file_id:path}", "a.csv").replace("{session_id}", "a")
            )
            address = address.replace("{file_id}", "b") or "/"
            verb = "GET" if method == "Mount" else method
            response = stranger.request(verb, address, headers={"Sec-Fetch-Site": "same-origin"})
            assert response.status_code in (401, 303), f"{method} {path}: {response.status_code}"
            assert response.status_code == 401 or response.headers["location"].startswith("/sign-in"), path


@pytest.mark.parametrize("page", [*PAGES, "", "home", "no-such-page", "documents/deeper"])
def test_every_page_opened_first_leads_to_the_sign_in_and_back(app: WebApp, page: str) -> None:
    with app.browser() as stranger:
        there = goal_of(stranger.get(f"/{page}?collection=a%20b&q=%C3%A4"))
    expected = f"/{page}%3Fcollection%3Da%2520b%26q%3D%25C3%25A4"
    assert there == f"/sign-in?next={expected}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_no_method_gets_past(app: WebApp, method: str) -> None:
    with app.browser() as stranger:
        for path in ("/documents", "/media/x", "/_stcore/upload_file/a/b", "/_stcore/health", "/web/site.css"):
            assert stranger.request(method, path).status_code in (401, 405), path


@pytest.mark.parametrize(
    "path",
    [
        "/static/../documents",
        "/app/static/../../_stcore/metrics",
        "/app/static/%2e%2e/%2e%2e/app.py",
        "/app/static//etc/passwd",
        "/web/../_stcore/host-config",
        "/web/%2e%2e/gate.py",
        "//documents",
        "/static/..%5c..%5capp.py",
        "/sign-in/../documents",
        "/sign-in/provider",
        "/SIGN-IN",
        "/_stcore/health/../metrics",
        "/_stcore/health/",
        "/favicon.png/../documents",
    ],
)
def test_no_spelling_of_a_path_gets_past(app: WebApp, path: str) -> None:
    with socketless(app) as raw:
        answer = raw(f"GET {path} HTTP/1.1")
    status, body = answer
    assert status in (303, 400, 401, 404), (path, status)
    assert "cacheMemory" not in body
    assert "streamlit" not in body.lower()


class socketless:
    """Sends a request line as it is, which no HTTP library does."""

    def __init__(self, app: WebApp) -> None:
        self._app = app

    def __enter__(self) -> Any:
        import socket

        self._socket = socket.create_connection(("127.0.0.1", self._app.settings.corpuscope_port), timeout=20)

        def ask(line: str) -> tuple[int, str]:
            self._socket.sendall(f"{line}\r\nHost: {self._app.host}\r\nConnection: close\r\n\r\n".encode())
            received = b""
            while piece := self._socket.recv(65536):
                received += piece
            return int(received.split(b" ", 2)[1]), received.decode("utf-8", "replace")

        return ask

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def open_socket(app: WebApp, cookie: str | None, *, origin: str | None = None, **headers: str) -> ClientConnection:
    cookies = {"Cookie": f"corpuscope_session={cookie}"} if cookie else {}
    return connect(
        f"ws://{app.host}/_stcore/stream",
        origin=origin or app.address,  # type: ignore[arg-type]
        additional_headers={**cookies, **headers},
        subprotocols=["streamlit"],  # type: ignore[list-item]
        open_timeout=20,
    )


def test_a_stranger_gets_no_socket(app: WebApp, first: tuple[str, Session]) -> None:
    cookie, session = first
    forged = Signer(b"0" * 32, purpose="tab").sign(str(session.id))
    for held, headers in [
        (None, {}),
        ("", {}),
        (cookie[:-2], {}),
        (cookie.partition(".")[0], {}),
        (None, {SESSION_HEADER: str(session.id)}),
        (None, {SESSION_HEADER: forged}),
    ]:
        with pytest.raises(InvalidStatus) as refused:
            open_socket(app, held, **headers)
        assert refused.value.response.status_code == 403


def test_a_session_gets_a_socket_from_our_pages_only(app: WebApp, first: tuple[str, Session]) -> None:
    with open_socket(app, first[0]) as opened:
        assert opened.subprotocol == "streamlit"
    for origin in ("https://evil.example", "http://localhost:9999", "http://127.0.0.1:9", "null"):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(app, first[0], origin=origin)
        assert refused.value.response.status_code == 403, origin


def test_a_session_opens_the_app(app: WebApp, first: tuple[str, Session]) -> None:
    with app.browser(first[0]) as ann:
        page = ann.get("/documents")
        assert page.status_code == 200
        assert "<title>Streamlit</title>" in page.text or "root" in page.text
        assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert ann.get("/_stcore/host-config").status_code == 200
        assert ann.get("/media/nothing.csv").status_code == 404
        # A file goes up with the same session, from a page of ours alone.
        assert ann.put("/_stcore/upload_file/a/b", headers={"Origin": "https://evil.example"}).status_code == 403
        assert "came from another site" not in ann.put("/_stcore/upload_file/a/b").text


def test_other_sites_are_told_apart_by_origin_and_fetch_metadata(app: WebApp, first: tuple[str, Session]) -> None:
    with app.browser(first[0]) as ann:
        for headers in (
            {"Origin": "null"},
            {"Origin": app.address, "Sec-Fetch-Site": "cross-site"},
            {"Origin": app.address, "Sec-Fetch-Site": "same-site"},
            {"Origin": f"http://{app.host}.evil.example"},
        ):
            assert ann.put("/_stcore/upload_file/a/b", headers=headers).status_code == 403, headers


def test_what_needs_no_session_says_nothing_of_anybody(app: WebApp) -> None:
    with app.browser() as stranger:
        assert stranger.get("/_stcore/health").text == "ok"
        assert stranger.get("/web/site.css").status_code == 200
        assert stranger.get("/web/gate.py").status_code == 404
        assert stranger.get("/app/static/inter-latin-wght-normal.woff2").status_code == 200
        assert stranger.get("/auth/login").status_code == 303
        assert stranger.get("/oauth2callback?code=x&state=y").status_code == 303


# The gate alone, around an app that tells what it was given.


class Telltale:
    """An ASGI app that remembers the scopes that reach it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain"), (b"cache-control", b"public")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"behind the gate"})

    def header(self, name: str) -> str | None:
        return next((value.decode() for key, value in self.scopes[-1]["headers"] if key == name.encode()), None)


@pytest.fixture
def behind() -> Telltale:
    return Telltale()


@pytest.fixture
def settings(home: Any) -> Settings:
    return LOCAL.model_copy(update={"corpuscope_home": home})


@pytest.fixture
def entrance(settings: Settings, database: Database) -> Entrance:
    return Entrance(settings, lambda: database)


def client(behind: Telltale, entrance: Entrance, session: str | None = None) -> TestClient:
    made = TestClient(SessionGate(behind, entrance), follow_redirects=False)
    if session is not None:
        made.cookies.set(SESSION, session, domain="testserver.local")
    return made


def test_until_the_database_answers_nobody_comes_in(behind: Telltale, settings: Settings) -> None:
    closed = Entrance(settings, lambda: None)
    signed = closed.signer(SESSION).sign("anything")
    for browser in (client(behind, closed), client(behind, closed, signed)):
        for path in ("/documents", "/sign-in", "/"):
            page = browser.get(path)
            assert page.status_code == 503
            assert 'http-equiv="refresh"' in page.text
            assert page.headers["retry-after"] == "1"
        assert browser.get("/media/x").status_code == 503
        assert browser.put("/_stcore/upload_file/a/b").status_code == 503
        with pytest.raises(Exception), browser.websocket_connect("/_stcore/stream"):  # noqa: B017, PT011 - closed at once
            pass
    assert behind.scopes == []


def test_the_app_never_sees_the_token_and_believes_only_the_gate(behind: Telltale, entrance: Entrance) -> None:
    token, session = make_first(entrance.find_database())  # type: ignore[arg-type]
    browser = client(behind, entrance, entrance.signer(SESSION).sign(token))
    browser.cookies.set("corpuscope_invitation", "secret")
    browser.cookies.set("_streamlit_xsrf", "kept")
    lie = {SESSION_HEADER: entrance.signer("tab").sign(str(uuid4()))}
    assert browser.get("/documents", headers=lie).text == "behind the gate"
    assert behind.header(SESSION_HEADER) is None
    assert behind.header("cookie") == "_streamlit_xsrf=kept"
    with browser.websocket_connect("/_stcore/stream", headers={**lie, "origin": "http://testserver"}):
        pass
    word = behind.header(SESSION_HEADER) or ""
    assert entrance.signer("tab").unsign(word) == str(session.id)
    assert [key for key, _ in behind.scopes[-1]["headers"]].count(SESSION_HEADER.encode()) == 1
    assert token not in repr(behind.scopes)


def test_files_for_one_person_stay_out_of_shared_caches(behind: Telltale, entrance: Entrance) -> None:
    token, _ = make_first(entrance.database)
    browser = client(behind, entrance, entrance.signer(SESSION).sign(token))
    assert browser.get("/media/x.csv").headers.get_list("cache-control") == ["private, no-store"]


def test_an_hour_later_a_page_brings_a_new_token(behind: Telltale, entrance: Entrance) -> None:
    database = entrance.database
    token, session = make_first(database)
    old = entrance.signer(SESSION).sign(token)
    browser = client(behind, entrance, old)
    assert "set-cookie" not in browser.get("/documents").headers
    with database.as_accounts() as conn:
        conn.execute("update corpuscope.sessions set rotated_at = now() - interval '2 hours'")
    assert "set-cookie" not in browser.get("/media/x").headers, "only a page's address is sure to take the cookie"
    given = browser.get("/documents").headers["set-cookie"]
    assert "HttpOnly" in given
    assert "SameSite=Lax" in given
    new = browser.cookies[SESSION]
    assert new != old
    # Requests that were under way with the old one still count, until the new one was seen for a minute.
    assert client(behind, entrance, new).get("/documents").status_code == 200
    assert client(behind, entrance, old).get("/documents").status_code == 200
    with database.as_accounts() as conn:
        conn.execute("update corpuscope.sessions set seen_at = now() - interval '2 minutes'")
    assert client(behind, entrance, old).get("/documents").status_code == 303
    assert client(behind, entrance, new).get("/documents").status_code == 303, "a copied token ends the session"
    with database.as_accounts() as conn:
        assert sessions.end_reason(conn, session.id) == sessions.STOLEN


def test_without_sign_in_the_gate_stands_open(behind: Telltale) -> None:
    entrance = Entrance(Settings(_env_file=None), lambda: None)
    assert client(behind, entrance).get("/documents").text == "behind the gate"


def test_over_https_the_cookie_is_for_https_alone(settings: Settings, database: Database) -> None:
    token, session = make_first(database)
    plain = Entrance(settings, lambda: database)
    secure = Entrance(settings.model_copy(update={"public_url": "https://corpus.example.org"}), lambda: database)
    assert "Secure" not in plain.session_cookie(token, session).split("; ")
    assert "Secure" in secure.session_cookie(token, session).split("; ")
    assert "Secure" in secure.drop(SESSION).split("; ")


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, False),
        ({"corpuscope_host": "0.0.0.0"}, True),
        ({"public_url": "https://corpus.example.org"}, True),
        ({"public_url": "http://localhost:8501"}, False),
        ({"auth": "none"}, False),
    ],
)
def test_the_launcher_says_the_code_where_others_could_be_first(
    settings: Settings, database: Database, changes: dict[str, str], asked: bool
) -> None:
    chosen = settings.model_copy(update=changes)
    said = describe_first_account(database, chosen)
    assert ("/sign-up" in said) is asked
    assert (setup_code(load_key(chosen.corpuscope_home)) in said) is asked
    code = setup_code(load_key(chosen.corpuscope_home))
    if chosen.auth == "local":
        here = {"device": "", "address": "", "settings": chosen}
        signing_in.sign_up_first(database, "ann@example.org", "Ann", "correct horse battery", code=code, **here)  # type: ignore[arg-type]
        assert describe_first_account(database, chosen) == ""
