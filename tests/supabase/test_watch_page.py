"""The example page in Chromium: supabase-js and PostgREST are real, Realtime is our stub that asks the real policies.

Sign-in is a stub too: it knows three passwords and gives the project's own tokens for them.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect
from psycopg.conninfo import make_conninfo

from rag.work.broadcasting import keep_broadcasting
from tests.supabase.broadcasts import Studio
from tests.supabase.realtime_stub import RealtimeStub, wait_until
from tests.supabase.stack import Project
from tests.supabase.tools import node_modules

EXAMPLE = Path(__file__).parents[2] / "examples" / "watch"
PATIENCE_MS = 15_000


@contextmanager
def serving(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def sign_in(project: Project) -> type[http.server.BaseHTTPRequestHandler]:
    """Gives Alice and Bob a token of the project for the password `secret`."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            person = project.people.get(asked.get("email", "").partition("@")[0])
            right = person is not None and asked.get("password") == "secret"
            answer: dict[str, object] = {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid credentials"}
            if right and person is not None:
                user = {"id": str(person.id), "email": person.email, "aud": "authenticated", "role": "authenticated"}
                answer = {"access_token": person.token, "refresh_token": "none", "user": user}
                answer |= {"token_type": "bearer", "expires_in": 3600}
            body = json.dumps(answer).encode()
            self.send_response(200 if right else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    return Door


@pytest.fixture(scope="module")
def stub(project: Project) -> Iterator[RealtimeStub]:
    if project.hosted:
        pytest.skip("the page's own people are made here; on a hosted project, follow examples/watch/README.md")
    server = RealtimeStub(make_conninfo(project.database.owner_dsn, user="supabase_admin"), project.jwt_secret)
    with server.running(), serving(sign_in(project)) as door:
        project.route("/realtime/v1", server.address)
        project.route("/auth/v1", door)
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with supabase-js beside it, as its README says."""
    folder = tmp_path_factory.mktemp("watch")
    for file in ("index.html", "watch.js", "watch.css"):
        shutil.copy(EXAMPLE / file, folder)
    shutil.copy(node_modules() / "@supabase" / "supabase-js" / "dist" / "umd" / "supabase.js", folder)
    with serving(functools.partial(Quiet, directory=str(folder))) as address:
        yield address


@pytest.fixture
def studio(project: Project, stub: RealtimeStub) -> Iterator[Studio]:
    made = Studio(project.database, project.alice.id)
    made.share(project.bob.id)
    made.send()
    stop = threading.Event()
    thread = threading.Thread(target=keep_broadcasting, args=(project.database, stop))
    thread.start()
    yield made
    stop.set()
    thread.join(10)


class Watcher:
    """One tab of its own browser profile, and what went wrong in it."""

    def __init__(self, browser: Browser, site: str, studio: Studio, project: Project) -> None:
        self.problems: list[str] = []
        self.reads = 0
        self.page: Page = browser.new_context().new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._count(request.url))
        query = urlencode({"url": project.url, "key": project.publishable_key, "chat": str(studio.chat)})
        self.page.goto(f"{site}/index.html?{query}")

    def _count(self, url: str) -> None:
        self.reads += "/rest/v1/messages" in url

    def sign_in(self, name: str, password: str = "secret") -> None:
        self.page.get_by_label("E-mail").fill(f"{name}@example.org")
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Watch").click()

    def sees(self, text: str) -> None:
        expect(self.page.locator("body")).to_contain_text(text, timeout=PATIENCE_MS)

    def state(self, text: str) -> None:
        expect(self.page.get_by_role("status")).to_contain_text(text, timeout=PATIENCE_MS)


@pytest.fixture
def watcher(browser: Browser, site: str, studio: Studio, project: Project) -> Iterator[Watcher]:
    made = Watcher(browser, site, studio, project)
    yield made
    made.page.context.close()
    assert made.problems == []


def test_a_shared_conversation_is_watched_live(watcher: Watcher, studio: Studio, project: Project) -> None:
    """Bob is in no app: he sees the question, each phase, the text as it grows and its end, and reads the rows once."""
    watcher.sign_in("bob")
    watcher.state("Live")
    reads = watcher.reads
    answer = studio.ask("How deep is the lake?")
    watcher.sees("How deep is the lake?")
    expect(watcher.page.locator("article.user h2")).to_have_text("alice")
    studio.phase(answer, "retrieving", detail="2 collections")
    watcher.sees("Searches… 2 collections")
    studio.begin(answer)
    for upto, piece in (("Up to ", "Up to "), ("Up to 40 m", "40 m"), ("Up to 40 m 🦆, they say", " 🦆, they say")):
        studio.write(answer, piece)
        expect(watcher.page.locator("article.assistant .content")).to_have_text(upto, timeout=PATIENCE_MS)
    studio.phase(answer, "complete", "Up to 40 m 🦆, they say [1].")
    watcher.sees("they say [1].")
    expect(watcher.page.locator("article.assistant details")).to_be_visible()
    with studio.database.as_user(project.alice.id) as conn:
        conn.execute("select public.note_presence(%s, gen_random_uuid())", [studio.chat])
    watcher.sees("Open in the app: alice")
    studio.run("update public.chats set title = 'Depths' where id = %s", studio.chat)
    expect(watcher.page.locator("h1")).to_have_text("Depths", timeout=PATIENCE_MS)
    assert watcher.reads - reads <= 1


def test_who_comes_in_the_middle_sees_it_from_the_beginning(
    watcher: Watcher, studio: Studio, stub: RealtimeStub
) -> None:
    answer = studio.ask("And how wide?")
    studio.begin(answer)
    studio.write(answer, "About <b>two</b> ")
    watcher.sign_in("bob")
    watcher.sees("About <b>two</b> ")
    studio.write(answer, "kilometres")
    watcher.sees("About <b>two</b> kilometres")
    assert stub.drop() >= 1
    studio.write(answer, " or three.")
    watcher.sees("About <b>two</b> kilometres or three.")
    assert watcher.page.locator("article b").count() == 0


def test_a_page_whose_channel_was_closed_opens_it_again(watcher: Watcher, studio: Studio, stub: RealtimeStub) -> None:
    """As when its token has expired: the server closes the channel, the socket stays."""
    watcher.sign_in("bob")
    watcher.state("Live")
    stub.expire()
    watcher.state("Not connected")
    studio.ask("What did I miss?")
    watcher.state("Live")
    watcher.sees("What did I miss?")
    studio.ask("And now?")
    watcher.sees("And now?")
    assert stub.listeners(f"chat:{studio.chat}") == 1


def test_who_may_not_see_it_hears_nothing(
    watcher: Watcher, studio: Studio, project: Project, stub: RealtimeStub
) -> None:
    studio.run("delete from public.chat_members where chat_id = %s", studio.chat)
    watcher.sign_in("bob", "wrong")
    watcher.state("That did not work")
    watcher.sign_in("bob")
    watcher.state("Not connected")
    studio.ask("Is this SECRET?")
    wait_until(lambda: studio.value("select count(*) from corpuscope.due_broadcasts") == 0)
    watcher.page.wait_for_timeout(500)
    assert "SECRET" not in watcher.page.content()
    assert stub.listeners(f"chat:{studio.chat}") == 0


def test_who_is_taken_out_while_watching_hears_no_word_more(watcher: Watcher, studio: Studio) -> None:
    watcher.sign_in("bob")
    watcher.state("Live")
    answer = studio.ask("How cold is it?")
    watcher.sees("How cold is it?")
    studio.run("delete from public.chat_members where chat_id = %s", studio.chat)
    studio.begin(answer)
    studio.write(answer, "SECRET")
    studio.phase(answer, "complete", "SECRET")
    watcher.state("not shared with you")
    assert "SECRET" not in watcher.page.content()
    assert "How cold" not in watcher.page.inner_text("main")


def test_a_page_speaks_on_no_channel(watcher: Watcher, studio: Studio, stub: RealtimeStub) -> None:
    """What somebody types into the console of their browser: it reaches nobody."""
    watcher.sign_in("bob")
    watcher.state("Live")
    pushed = len(stub.pushed)
    status = watcher.page.evaluate(
        """async ([url, key, topic, token]) => {
            const other = supabase.createClient(url, key, { auth: { storageKey: "other" } });
            await other.realtime.setAuth(token);
            const channel = other.channel(topic, { config: { private: true } });
            const joined = await new Promise((done) => channel.subscribe((state) => done(state)));
            await channel.send({ type: "broadcast", event: "message", payload: { content: "forged" } });
            return joined;
        }""",
        [_given(watcher, "url"), _given(watcher, "key"), f"chat:{studio.chat}", _token(watcher)],
    )
    assert status == "SUBSCRIBED"
    wait_until(lambda: any("forged" in str(payload) for _topic, payload in stub.swallowed))
    assert not any("forged" in str(one) for one in stub.pushed[pushed:])


def _given(watcher: Watcher, name: str) -> str:
    return str(watcher.page.evaluate("(name) => new URLSearchParams(location.search).get(name)", name))


def _token(watcher: Watcher) -> str:
    stored = watcher.page.evaluate("Object.entries(localStorage).find(([key]) => key.startsWith('sb-'))[1]")
    return str(json.loads(stored)["access_token"])
