"""Doctor's questions to a project's servers: the Data API is real, the others are a stub that answers by a table."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection, serve

from rag.doctor.checkup import Check
from rag.doctor.examining import examine_project
from rag.doctor.project_checks import check_realtime
from rag.doctor.project_line import project_line
from rag.settings import Settings, load_settings
from tests.supabase.stack import Project, postgrest

OFFERED = {"external": {"email": True, "github": True, "google": False}, "mailer_autoconfirm": False}
#: What the Data API says of a schema that isn't there: the older words, and the newer ones.
OLDER = {"code": "PGRST106", "message": "The schema must be one of the following: %s"}
NEWER = {"code": "PGRST106", "message": "Invalid schema: x", "hint": "Only the following schemas are exposed: %s"}


@dataclass
class Servers:
    """A stub of the gateway and everything behind it: what it says to a path's beginning, as (status, body)."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    url: str = ""

    def answer(self, path: str) -> tuple[int, Any]:
        fitting = [prefix for prefix in self.answers if path.startswith(prefix)]
        return self.answers[max(fitting, key=len)] if fitting else (404, {})


@pytest.fixture
def servers() -> Iterator[Servers]:
    """A project where all is well, but for Realtime."""
    stub = Servers(
        {
            "/auth/v1/health": (200, {"name": "GoTrue"}),
            "/auth/v1/settings": (200, OFFERED),
            "/auth/v1/admin/users": (200, {"users": []}),
            "/rest/v1/": (406, _says(NEWER, "api, graphql_public")),
            "/storage/v1/bucket/originals": (200, {"id": "originals", "public": False, "file_size_limit": None}),
            "/functions/v1/": (200, {}),
        }
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = stub.answer(self.path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_OPTIONS = do_GET

        def log_message(self, *_words: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        stub.url = f"http://127.0.0.1:{running.server_port}"
        yield stub
        running.shutdown()
        thread.join()


def _says(words: dict[str, str], schemas: str) -> dict[str, str]:
    return {name: text.replace("%s", schemas) for name, text in words.items()}


def _key(role: str, **claims: str) -> str:
    return jwt.encode({"role": role, **claims}, "x" * 32, "HS256")


def settings_of(url: str, **values: Any) -> Settings:
    given = {
        "supabase_url": url,
        "supabase_publishable_key": "sb_publishable_x",
        "supabase_secret_key": SecretStr("sb_secret_x"),
        "auth": "supabase",
        "supabase_oauth": "github",
    }
    return load_settings(None).model_copy(update=given | values)


def answers(servers: Servers, **values: Any) -> dict[str, Check]:
    return {check.question: check for check in examine_project(settings_of(servers.url, **values))}


def test_a_project_where_all_is_well(servers: Servers) -> None:
    found = answers(servers)
    states = {question: check.state for question, check in found.items()}
    # Nothing here speaks websockets.
    assert states == dict.fromkeys(found, "ok") | {"realtime": "warn"}
    assert list(states) == ["project", "keys", "sign-in", "exposed schemas", "storage", "functions", "realtime"]


def test_without_a_project_nothing_is_asked() -> None:
    assert [check.state for check in examine_project(load_settings(None))] == ["skipped"]


def test_a_project_that_does_not_answer() -> None:
    first, *others = examine_project(settings_of("http://127.0.0.1:9", supabase_secret_key=SecretStr("sb_secret_word")))
    assert (first.state, "SUPABASE_URL" in first.next_step) == ("fail", True)
    assert {check.state for check in others} == {"skipped"}
    assert "sb_secret_word" not in repr([first, *others])


@pytest.mark.parametrize(
    ("path", "answer", "question", "state", "words"),
    [
        ("/auth/v1/health", (503, {}), "project", "fail", "status 503"),
        ("/auth/v1/settings", (401, {}), "keys", "fail", "refuses SUPABASE_PUBLISHABLE_KEY"),
        ("/auth/v1/admin/users", (401, {}), "keys", "fail", "refuses SUPABASE_SECRET_KEY"),
        ("/auth/v1/settings", (200, {"external": {"email": True}}), "sign-in", "fail", "not enabled: github"),
        ("/auth/v1/settings", (200, OFFERED | {"mailer_autoconfirm": True}), "sign-in", "warn", "not confirmed"),
        ("/auth/v1/settings", (200, OFFERED | {"disable_signup": True}), "sign-in", "ok", "Sign-up is closed"),
        ("/auth/v1/settings", (500, {}), "sign-in", "fail", "status 500"),
        ("/rest/v1/", (406, _says(NEWER, "public, graphql_public")), "exposed schemas", "fail", "public"),
        ("/rest/v1/", (406, _says(OLDER, "api, corpuscope")), "exposed schemas", "fail", "corpuscope"),
        ("/rest/v1/", (406, _says(OLDER, "shop")), "exposed schemas", "warn", "The instant API isn't"),
        ("/rest/v1/", (406, _says(NEWER, "api, shop")), "exposed schemas", "warn", "shop"),
        ("/rest/v1/", (401, {"message": "JWT invalid"}), "exposed schemas", "fail", "status 401"),
        ("/rest/v1/", (503, {}), "exposed schemas", "skipped", "off"),
        ("/storage/v1/bucket/originals", (200, {"public": True}), "storage", "fail", "public"),
        ("/storage/v1/bucket/originals", (400, {"statusCode": "404"}), "storage", "skipped", "no bucket"),
        ("/storage/v1/bucket/originals", (403, {}), "storage", "warn", "status 403"),
        ("/storage/v1/bucket/originals", (200, {"file_size_limit": 50 * 2**20}), "storage", "warn", "50 MB"),
        ("/functions/v1/ask", (404, {}), "functions", "skipped", "Not deployed: ask"),
        ("/functions/v1/embed", (500, {}), "functions", "fail", "Failing: embed"),
    ],
)
def test_what_a_server_says(
    servers: Servers, path: str, answer: tuple[int, Any], question: str, state: str, words: str
) -> None:
    servers.answers[path] = answer
    check = answers(servers)[question]
    assert (check.state, words in check.words) == (state, True), check
    assert check.next_step or check.state in ("ok", "skipped")


@pytest.mark.parametrize(
    ("values", "question", "state", "words"),
    [
        ({"supabase_publishable_key": "sb_secret_x"}, "keys", "fail", "every browser"),
        ({"supabase_publishable_key": _key("service_role")}, "keys", "fail", "every browser"),
        ({"supabase_secret_key": SecretStr(_key("anon"))}, "keys", "fail", "holds a publishable key"),
        ({"supabase_publishable_key": _key("anon", ref="another")}, "keys", "fail", "of project another"),
        ({"supabase_publishable_key": "", "supabase_secret_key": SecretStr("")}, "keys", "warn", "No key"),
        ({"auth": "local"}, "sign-in", "skipped", "AUTH=local"),
        ({"supabase_secret_key": SecretStr("")}, "storage", "skipped", "isn't set"),
        ({"supabase_secret_key": SecretStr("")}, "realtime", "skipped", "isn't set"),
        ({"live_updates": "broadcast"}, "realtime", "fail", "can't be joined"),
        ({"max_file_mb": 10}, "storage", "ok", "private"),
    ],
)
def test_what_the_settings_say(servers: Servers, values: dict[str, Any], question: str, state: str, words: str) -> None:
    check = answers(servers, **values)[question]
    assert (check.state, words in check.words) == (state, True), check


def test_what_is_needed_and_missing_is_no_mere_warning(servers: Servers) -> None:
    servers.answers["/functions/v1/embed"] = (404, {})
    servers.answers["/storage/v1/bucket/originals"] = (403, {})
    found = answers(servers, embedding_provider="supabase", originals="supabase")
    assert (found["functions"].state, found["storage"].state) == ("fail", "fail")
    servers.answers["/storage/v1/bucket/originals"] = (400, {"statusCode": "404"})
    assert answers(servers, originals="supabase")["storage"].state == "warn"


def test_the_exposed_schemas_of_a_real_data_api(project: Project, servers: Servers) -> None:
    values = {"supabase_publishable_key": project.publishable_key, "supabase_secret_key": SecretStr("")}
    values |= {"supabase_oauth": ""}
    asked = settings_of(project.url, **values)
    if not project.hosted:
        for path in ("/auth/v1", "/storage/v1", "/functions/v1"):
            project.route(path, servers.url)
    found = {check.question: check for check in examine_project(asked)}
    assert found["exposed schemas"].state == "ok", found["exposed schemas"]
    if project.hosted:
        assert [check for check in found.values() if check.state == "fail"] == []
        return
    with postgrest(project.database.app_dsn, project.jwt_secret, "api, public") as address:
        project.route("/rest/v1", address)
        found = {check.question: check for check in examine_project(asked)}
    assert found["exposed schemas"].state == "fail"
    assert "public" in found["exposed schemas"].words


@contextlib.contextmanager
def _channels(status: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A stub of Realtime that answers every join with ``status``; its address, and what it was sent."""
    heard: list[dict[str, Any]] = []

    def answer(socket: ServerConnection) -> None:
        for text in socket:
            said = json.loads(text)
            heard.append(said)
            reason = {} if status == "ok" else {"reason": "Unauthorized"}
            reply = {"event": "phx_reply", "payload": {"status": status, "response": reason}}
            socket.send(json.dumps({"topic": said["topic"], "ref": said["ref"], **reply}))

    with serve(answer, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.socket.getsockname()[1]}", heard
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "state"), [("ok", "ok"), ("error", "warn")])
def test_joining_the_servers_channel(status: str, state: str) -> None:
    with _channels(status) as (url, heard):
        settings = settings_of(url)
        with project_line(settings) as line:
            check = check_realtime(line, settings)
    assert check.state == state
    assert ("Unauthorized" in check.words) is (status == "error")
    assert [said["topic"] for said in heard] == ["realtime:corpuscope:hints"]
    assert heard[0]["payload"]["config"]["private"] is True
