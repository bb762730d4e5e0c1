"""Two hosts with an app and two workers each on one Postgres that neither runs: whatever is killed, nothing is lost."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
import pytest
import websockets
from pydantic import SecretStr

from rag.auth import people
from rag.auth.secret_tokens import Signer, installation_key
from rag.auth.signing_in import begin
from rag.chat.chat_records import Message
from rag.chat.chats import ask, create_chat, list_messages
from rag.chat.participants import share_chat
from rag.chat.presence import who_is_here
from rag.corpus.sharing import share
from rag.errors import DatabaseError
from rag.settings import Settings
from rag.store.database import Database
from rag.store.postgres import EmbeddedPostgres
from rag.web.cookies import SESSION
from tests.integration.door import ANN, ANNS, BEN, BENS, HERE, hashed, make_person
from tests.integration.hands import Hands, open_hands
from tests.integration.hosts import Host, count_workers, database_elsewhere, kill, running_hosts
from tests.integration.proxy import find_haproxy, running_proxy
from tests.integration.test_kill_drills import DIMENSIONS, HostedWorkshop
from tests.integration.workshop import prose, wait_for
from tests.standin_openai import Say, StandInOpenAI, Vectors

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]

KEY = "the same on both hosts, and nowhere else"
WORDS = ["It ", "is ", "written ", "so ", "[1]."]
PATIENCE_S = 240.0
KILLS = 6
ROUNDS = 5

#: What a client meets whose app was killed, or is not back yet.
AWAY = (OSError, httpx.HTTPError, websockets.WebSocketException, TimeoutError, DatabaseError)


class NotYet(Exception):
    """The app is there, and what is wanted of it isn't."""


@dataclass
class Installation:
    """Both hosts, the database that they share, and Ann and Ben, who share a collection and a conversation."""

    hosts: tuple[Host, Host]
    shop: HostedWorkshop
    chat: UUID
    people: dict[str, tuple[UUID, str]]

    @property
    def database(self) -> Database:
        return self.shop.database

    def messages(self) -> list[Message]:
        with self.database.as_user(self.shop.user) as conn:
            return list_messages(conn, self.chat)

    def processes(self) -> dict[str, psutil.Process]:
        """All that live, by host and name."""
        return {f"{host.name} {name}": one for host in self.hosts for name, one in host.processes().items()}


@pytest.fixture(scope="module")
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI(default_embeddings=Vectors(DIMENSIONS, delay_s=0.1), default_chat=Say(WORDS, 0.2)) as running:
        yield running


@pytest.fixture(scope="module")
def installation(
    server: EmbeddedPostgres, provider: StandInOpenAI, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("hosts")
    with database_elsewhere(server, "two_apps") as address:
        settings = _settings(address, provider, folder / "test")
        shared = {name: value for name, value in _environment(settings).items() if name != "CORPUSCOPE_HOME"}
        hosts = Host(folder / "one", address, settings=shared), Host(folder / "two", address, settings=shared)
        # Both find a database without our tables: one makes them while the other waits.
        with running_hosts(*hosts), Database(address) as database:
            yield _populate(hosts, database, settings)


def _settings(address: str, provider: StandInOpenAI, home: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=address,
        corpuscope_home=home,
        corpuscope_key=SecretStr(KEY),
        auth="local",
        embedding_provider="openai",
        embedding_model="stand-in",
        embedding_dimensions=DIMENSIONS,
        openai_base_url=provider.base_url,
        openai_api_key=SecretStr("k"),
        chat_model="stand-in",
    )


def _environment(settings: Settings) -> dict[str, str]:
    named = settings.model_dump(include=settings.model_fields_set, exclude={"corpuscope_key", "openai_api_key"})
    return {name.upper(): str(value) for name, value in named.items()} | {
        "CORPUSCOPE_KEY": KEY,
        "OPENAI_API_KEY": settings.openai_api_key.get_secret_value(),
    }


def _populate(hosts: tuple[Host, Host], database: Database, settings: Settings) -> Installation:
    sign = Signer(installation_key(settings), purpose=SESSION).sign
    with database.as_accounts() as conn:
        ann = people.take_over_local(conn, ANN, "Ann", hashed(ANNS))
    ben = make_person(database, BEN, BENS)
    cookies = {}
    for name, person in (("Ann", ann), ("Ben", ben)):
        with database.as_accounts() as conn:
            token, _ = begin(conn, person, "password", **HERE)
        cookies[name] = person, sign(token)
    shop = HostedWorkshop(database, settings, ann)
    with database.as_user(ann) as conn:
        share(conn, shop.collection, BEN, "editor")
        chat = create_chat(conn, shop.collection, "Together")
        share_chat(conn, chat, [ben])
    return Installation(hosts, shop, chat, cookies)


@dataclass
class Visitor:
    """Somebody with a browser, who goes to the other host when theirs is away, and looks before asking again."""

    installation: Installation
    name: str
    addresses: Sequence[str]
    at: int = 0
    moves: int = 0
    tries: int = 0

    @property
    def cookie(self) -> str:
        return self.installation.people[self.name][1]

    async def insist(self, page: str, query: str, act: Callable[[Hands], Awaitable[None]]) -> None:
        """Open the page and act, until it went well."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.tries += 1
            try:
                async with open_hands(self.addresses[self.at], self.cookie) as tab:
                    await tab.open(page, query)
                    await act(tab)
                return
            except (NotYet, *AWAY) as problem:
                if time.monotonic() > deadline:
                    raise
                if not isinstance(problem, NotYet):
                    print(f"{self.name} goes on at the other host: {problem!r}")
                    self.at, self.moves = (self.at + 1) % len(self.addresses), self.moves + 1
                await asyncio.sleep(0.5)

    async def upload(self, files: dict[str, bytes]) -> None:
        """Until the page says of them that they are there."""

        async def act(tab: Hands) -> None:
            if "Upload files" not in tab.widgets:
                raise NotYet("The database is being opened.")
            said = await tab.upload(files)
            # A duplicate: they were stored, and the app died before it could say so.
            if not re.search(rb"\d+ files? stored|\d+ duplicates?", said):
                raise NotYet("It was not said that they are stored.")

        await self.insist("documents", f"collection={self.installation.shop.collection}", act)

    async def ask(self, question: str) -> None:
        """Until the answer is there, be it at the other host."""

        async def act(tab: Hands) -> None:
            if "chat" not in tab.widgets:
                raise NotYet("Nothing is searchable, or the database is being opened.")
            if self._find(question) is None:
                await tab.ask(question)
            answer = self._find(question)
            if answer is None or not answer.finished or answer.content.encode() not in tab.received:
                raise NotYet("The page doesn't show the answer.")

        await self.insist("chat", self._query, act)

    @property
    def _query(self) -> str:
        return f"collection={self.installation.shop.collection}&chat={self.installation.chat}"

    def _find(self, question: str) -> Message | None:
        """The answer to a question that was asked."""
        messages = self.installation.messages()
        asked = [one.id for one in messages if one.role == "user" and one.content == question]
        return next((one for one in messages if one.parent_id in asked), None)


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own: tests in a browser leave the main one with a loop that is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def test_a_session_of_one_app_is_a_session_of_the_other(installation: Installation) -> None:
    for host in installation.hosts:
        cookies = {SESSION: installation.people["Ben"][1]}
        with httpx.Client(base_url=f"http://{host.name}", cookies=cookies, trust_env=False) as line:
            assert line.get("/documents").status_code == 200
            line.cookies.clear()
            assert line.get("/documents").headers["location"].startswith("/sign-in")


def test_what_happens_at_one_app_is_told_and_seen_at_the_other(installation: Installation) -> None:
    ann, ben = (installation.people[name] for name in ("Ann", "Ben"))
    topics = f"chat:{installation.chat},presence:{installation.chat}"

    def listen(host: Host, cookie: str) -> websockets.connect:
        return websockets.connect(
            f"ws://{host.name}/api/live?topics={topics}&after=",
            origin=websockets.Origin(f"http://{host.name}"),
            additional_headers={"Cookie": f"{SESSION}={cookie}"},
        )

    async def meet() -> None:
        one, two = installation.hosts
        async with listen(one, ann[1]) as at_one, listen(two, ben[1]) as at_two:
            for socket in (at_one, at_two):
                await asyncio.wait_for(socket.recv(), 60)
            with installation.database.as_user(ann[0]) as conn:
                assert {present.name for present in who_is_here(conn, installation.chat)} >= {"Ann", "ben"}
            await _quiet(at_two)
            with installation.database.as_user(ann[0]) as conn:
                ask(conn, installation.chat, "Is this told?")
            assert await asyncio.wait_for(at_two.recv(), 60) == "look"

    run_apart(meet())


async def _quiet(socket: Any) -> None:
    """Until no more hints come that are about the beginning."""
    while True:
        try:
            await asyncio.wait_for(socket.recv(), 1)
        except TimeoutError:
            return


def test_the_proxy_of_the_guide_keeps_people_at_an_app_and_moves_them_when_it_dies(
    installation: Installation, tmp_path: Path
) -> None:
    program = find_haproxy()
    if program is None:
        pytest.skip("HAProxy is not installed (Debian: apt-get install haproxy).")
    with running_proxy(program, tmp_path, [host.name for host in installation.hosts]) as address:
        visitors = [Visitor(installation, name, [address]) for name in ("Ann", "Ben") * 3]

        async def come(visitor: Visitor, number: int) -> None:
            await visitor.upload({f"by proxy {number}.txt": f"Number {number} came through the proxy. ".encode() * 9})

        async def meet() -> None:
            await asyncio.gather(*(come(visitor, number) for number, visitor in enumerate(visitors)))
            assert [visitor.tries for visitor in visitors] == [1] * 6, "files came where their page was"
            for number, host in enumerate(installation.hosts, start=6):
                kill(host.processes()["app"])
                await come(visitors[0], number)

        run_apart(meet())
    for host in installation.hosts:
        host.wait()
    wait_for(installation.shop.is_finished, PATIENCE_S)
    stages = dict(installation.shop.rows("select name, stage from public.documents"))
    assert stages == {f"by proxy {number}.txt": "ready" for number in range(8)}
    installation.shop.run("delete from public.documents")


def test_one_after_the_other_is_killed_and_nothing_is_lost(installation: Installation, provider: StandInOpenAI) -> None:
    seed = random.randrange(10_000)
    print(f"{seed=}")
    chance = random.Random(seed)
    wait_for(lambda: count_workers(installation.database) == 4, PATIENCE_S)
    one, two = (host.name for host in installation.hosts)
    visitors = [Visitor(installation, "Ann", [one, two]), Visitor(installation, "Ben", [two, one])]
    names: list[str] = []
    questions: list[str] = []

    async def live(visitor: Visitor) -> None:
        for number in range(ROUNDS):
            files = {f"{visitor.name}-{number}-{n}.txt": prose(25, seed=hash_of(visitor, number, n)) for n in range(2)}
            await visitor.upload({name: text.encode() for name, text in files.items()})
            names.extend(files)
            question = f"What does {visitor.name} ask in round {number}?"
            await visitor.ask(question)
            questions.append(question)

    async def kill_some() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(2, 4))
            kind = chance.choice(["app", "worker", "connections"])
            if kind == "connections":
                print("ending all connections, as a restart of the database would")
                end_connections(installation.database)
                continue
            victims = [pair for pair in installation.processes().items() if kind in pair[0]]
            name, victim = chance.choice(sorted(victims))
            print(f"killing {name}")
            kill(victim)

    async def drill() -> None:
        await asyncio.gather(*map(live, visitors), kill_some())

    run_apart(drill())
    print(f"moves: {[visitor.moves for visitor in visitors]}")
    check(installation, names, questions)
    wait_for(lambda: len(installation.processes()) == 6, PATIENCE_S)


def end_connections(database: Database) -> None:
    with database.as_owner() as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


def hash_of(visitor: Visitor, number: int, n: int) -> int:
    """Different text in each file."""
    return number * 10 + n + (500 if visitor.name == "Ben" else 0)


def check(installation: Installation, names: list[str], questions: list[str]) -> None:
    """All that a page said to be stored is ready, with its own vectors; each question has one answer."""
    shop = installation.shop
    wait_for(shop.is_finished, PATIENCE_S)
    stages = dict(shop.rows("select name, stage from public.documents"))
    assert {name: stages.get(name) for name in names} == dict.fromkeys(names, "ready")
    assert len(stages) == len(names), "and nothing twice"
    assert shop.check_vectors() >= 20 * len(names)
    assert shop.value("select count(*) from public.failed_jobs") == 0
    messages = installation.messages()
    asked = Counter(one.content for one in messages if one.role == "user")
    assert {question: asked[question] for question in questions} == dict.fromkeys(questions, 1)
    answers = [one for one in messages if one.role == "assistant"]
    assert {one.phase for one in answers} == {"complete"}
    assert len(answers) == sum(asked.values())
    assert len({one.position for one in messages}) == len(messages)
    wait_for(lambda: shop.value("select count(*) from pgmq.q_answer") == 0, PATIENCE_S)


def test_a_whole_host_fails_and_the_other_one_goes_on(installation: Installation) -> None:
    one, two = installation.hosts
    visitor = Visitor(installation, "Ann", [one.name, two.name])
    document = installation.shop.store("under way.txt", prose(60, seed=77))
    wait_for(lambda: installation.shop.progress()[0] > 0, PATIENCE_S)
    one.fail()
    run_apart(visitor.ask("Who answers now?"))
    assert (visitor.at, visitor.moves > 0) == (1, True)
    wait_for(installation.shop.is_finished, PATIENCE_S)
    assert installation.shop.stage(document) == "ready"
    installation.shop.check_vectors()
    assert set(installation.processes()) == {f"{two.name} {name}" for name in two.processes()}
    one.start()
    one.wait()
