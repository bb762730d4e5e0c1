"""The tests' own project: what it lets through is what its servers decide."""

from __future__ import annotations

import http.server
import threading

import httpx
import jwt
import pytest
from postgrest.exceptions import APIError
from websockets.sync.client import connect
from websockets.sync.server import serve

from rag.store.database import Database
from tests.conftest import ALICE
from tests.supabase.stack import Project, postgrest


def test_a_token_decides_who_one_is(project: Project) -> None:
    headers = {"apikey": project.publishable_key}
    refused = httpx.get(
        f"{project.url}/rest/v1/", headers=headers | {"Authorization": f"Bearer {project.forged(project.alice.id)}"}
    )
    accepted = httpx.get(
        f"{project.url}/rest/v1/", headers=headers | {"Authorization": f"Bearer {project.alice.token}"}
    )
    assert refused.status_code == 401
    assert accepted.status_code in (200, 403)  # a hosted project tells its surface to secret keys alone


def test_no_key_no_answer(project: Project) -> None:
    assert httpx.get(f"{project.url}/rest/v1/").status_code == 401


def test_a_table_outside_of_the_exposed_schema_is_not_found(project: Project) -> None:
    with pytest.raises(APIError):
        project.client(project.alice.token).schema("public").table("documents").select("id").execute()


def test_postgrest_runs_as_the_person(module_database: Database) -> None:
    secret = "x" * 40
    with postgrest(module_database.app_dsn, secret, schemas="public") as address:
        anonymous = httpx.get(f"{address}/collections?select=id")
        token = jwt.encode({"sub": str(ALICE), "role": "authenticated"}, secret, "HS256")
        hers = httpx.get(f"{address}/collections?select=id", headers={"Authorization": f"Bearer {token}"})
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "42501")
    assert (hers.status_code, hers.json()) == (200, [])


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_a_server_of_the_test_has_a_place_in_the_project(project: Project) -> None:
    if project.hosted:
        pytest.skip("a hosted project has its own servers")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as echo:
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        project.route("/functions/v1/echo", f"http://127.0.0.1:{echo.server_port}")
        answer = httpx.post(f"{project.url}/functions/v1/echo", content=b"hello")
        echo.shutdown()
    assert (answer.status_code, answer.content) == (201, b"hello")


def test_sockets_pass_through(project: Project) -> None:
    if project.hosted:
        pytest.skip("a hosted project has its own servers")
    with serve(lambda socket: socket.send(f"heard {socket.recv(decode=True)}"), "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        project.route("/realtime/v1", f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        with connect(project.url.replace("http", "ws") + "/realtime/v1/websocket?apikey=x", proxy=None) as socket:
            socket.send("a word")
            assert socket.recv() == "heard a word"
        server.shutdown()
