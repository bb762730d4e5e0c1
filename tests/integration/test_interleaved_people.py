"""Fifty sessions of ten people in one process, all at once: nobody ever receives a word of somebody else's."""

from __future__ import annotations

import asyncio
import io
import random
import threading
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from psycopg import Connection

from rag.auth.secret_tokens import Signer, load_key
from rag.chat.chats import list_chats, list_messages
from rag.chat.feeds import Feed, tail_answer
from rag.corpus.audit import list_entries
from rag.corpus.collections import list_collections
from rag.corpus.documents import list_documents, list_failed_jobs
from rag.corpus.marks import list_marks
from rag.corpus.originals import read_original
from rag.corpus.sharing import share
from rag.corpus.texts import list_chunks, read_text
from rag.errors import NotFound
from rag.evaluation.draft_requests import latest_request
from rag.evaluation.exporting import export_rows
from rag.evaluation.judged_passages import list_passages
from rag.evaluation.judgements import verdicts
from rag.evaluation.question_sets import list_questions, list_sets
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search
from rag.store.database import Database
from rag.store.postgres import EmbeddedPostgres
from tests.conftest import copied_database
from tests.integration.canaries import SHARED_WORD, Person, finish, plant, strangers_in, write_on
from tests.integration.library import in_thread
from tests.integration.tabs import open_tab
from tests.integration.webapp import SESSION, WebApp, running_app

PEOPLE, SESSIONS_EACH = 10, 5
#: Pieces of everybody's answer that are written while threads look, and then while tabs do.
FIRST, SECOND = 5, 10
WORDS = RetrievalProfile.from_json({"mode": "lexical"})


@pytest.fixture(scope="module")
def town(server: EmbeddedPostgres, template: str) -> Iterator[tuple[Database, list[Person]]]:
    with copied_database(server, template) as database:
        yield database, [plant(database, number, SESSIONS_EACH) for number in range(PEOPLE)]


def test_fifty_threads_over_one_pool_and_one_feed(town: tuple[Database, list[Person]]) -> None:
    database, people = town
    feed = Feed(database)
    crowd = [person for person in people for _ in range(SESSIONS_EACH)]
    random.Random(3).shuffle(crowd)
    begin = threading.Barrier(len(crowd))

    def live(person: Person, seed: int) -> bytes:
        begin.wait(60)
        return look_around(database, feed, person, people, random.Random(seed))

    try:
        with in_thread(lambda: write_first(database, people)), ThreadPoolExecutor(len(crowd)) as threads:
            seen = list(threads.map(live, crowd, range(len(crowd))))
    finally:
        feed.close()
    for person, everything in zip(crowd, seen, strict=True):
        assert person.word.encode() in everything
        assert strangers_in(everything, person, people) == set()


def look_around(database: Database, feed: Feed, person: Person, people: list[Person], rng: random.Random) -> bytes:
    """All that the library gives one person in some order, their own and others' ids tried alike."""
    seen: list[object] = []
    for target in rng.sample(people, len(people)):
        for step in rng.sample(_LOOKS, len(_LOOKS)):
            try:
                with database.as_user(person.claims) as conn:
                    seen.append(step(conn, target))
            except NotFound:
                assert target is not person, step
    follow = tail_answer(lambda: database.as_user(person.claims), feed, person.answer, poll_s=0.01)
    for event in follow:
        seen.append(event)
        if event.seq == FIRST:
            break
    return repr(seen).encode()


def write_first(database: Database, people: list[Person]) -> None:
    for seq in range(1, FIRST + 1):
        write_on(database, people, seq)


_LOOKS: list[Callable[[Connection[Any], Person], object]] = [
    lambda conn, who: list_collections(conn),
    lambda conn, who: list_documents(conn, who.collection),
    lambda conn, who: list_failed_jobs(conn, who.collection),
    lambda conn, who: read_text(conn, who.document),
    lambda conn, who: list_chunks(conn, who.document),
    lambda conn, who: list_marks(conn, who.document),
    lambda conn, who: b"".join(read_original(lambda: nullcontext(conn), who.document)),
    lambda conn, who: search(conn, who.collection, SHARED_WORD, None, WORDS),
    lambda conn, who: list_chats(conn, who.collection),
    lambda conn, who: [list_messages(conn, chat) for chat in who.chats],
    lambda conn, who: list_entries(conn),
    lambda conn, who: list_sets(conn, who.collection),
    lambda conn, who: list_questions(conn, who.questions),
    lambda conn, who: list_passages(conn, who.question),
    lambda conn, who: export_rows(conn, who.questions),
    lambda conn, who: latest_request(conn, who.questions),
    lambda conn, who: verdicts(conn, who.collection, f"Where does the {who.word} sing?"),
]


@pytest.fixture(scope="module")
def app(town: tuple[Database, list[Person]]) -> Iterator[WebApp]:
    with running_app(town[0]) as running:
        yield running


@pytest.mark.timeout(900)
def test_fifty_tabs_of_one_app(app: WebApp, town: tuple[Database, list[Person]]) -> None:
    database, people = town
    sign = Signer(load_key(app.settings.corpuscope_home), purpose=SESSION).sign
    crowd = [(person, sign(token)) for person in people for token, _ in person.sessions]
    random.Random(5).shuffle(crowd)

    async def meet() -> None:
        writing = asyncio.create_task(keep_writing(database, people))
        await asyncio.gather(
            *(visit(app, person, people, cookie, random.Random(n)) for n, (person, cookie) in enumerate(crowd))
        )
        await writing
        for person in people:
            await fetch_all(app, person, people, sign(person.sessions[0][0]))

    run_apart(meet())
    log = app.log.read_text()
    assert not [person.number for person in people if person.word in log], "the log names what is in collections"


def test_a_word_that_is_shared_is_found(app: WebApp, town: tuple[Database, list[Person]]) -> None:
    """Else the other tests would pass because they look for words in the wrong way."""
    database, people = town
    giver, taker = people[:2]
    with database.as_user(giver.claims) as conn:
        share(conn, giver.collection, f"{taker.word}@example.org", "viewer")
    cookie = Signer(load_key(app.settings.corpuscope_home), purpose=SESSION).sign(taker.sessions[0][0])

    async def look() -> None:
        async with open_tab(app.host, cookie) as tab:
            for page in ("documents", "document", "search", "operations", "chat"):
                received = await tab.open(*address_of(page, giver))
                found = strangers_in(received.replace(f"Mine of {giver.word}".encode(), b""), taker, people)
                assert found == {giver.number}, page
                # Conversations are their owner's, also about a shared collection.
                said = ("Talk of {}", "Where is the {}?", "The {} is here", "More of {}", "And now the {}?")
                assert not [one for one in said if one.format(giver.word).encode() in received], page

    run_apart(look())


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own: the tests in a browser leave the main one with a loop that is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def keep_writing(database: Database, people: list[Person]) -> None:
    """Answers grow while everybody looks around, and end well before the last look."""
    for seq in range(FIRST + 1, FIRST + SECOND + 1):
        await asyncio.to_thread(write_on, database, people, seq)
        await asyncio.sleep(0.5)
    await asyncio.to_thread(finish, database, people)


async def visit(app: WebApp, person: Person, people: list[Person], cookie: str, rng: random.Random) -> None:
    """All pages in some order, each with one's own address and with somebody else's."""
    async with open_tab(app.host, cookie) as tab, client_of(app, cookie) as client:
        for page in rng.sample(_PAGES, len(_PAGES)):
            other = rng.choice([one for one in people if one is not person])
            received = await tab.open(*address_of(page, person))
            assert person.word.encode() in received, f"{page} showed person {person.number} nothing of theirs"
            check(received, person, people, page)
            for fragment in sorted(tab.fragments):
                check(await tab.tick(fragment), person, people, f"a live part of {page}")
            for file in sorted(tab.downloads):
                # By itself Streamlit forgets a file made at a click when two runs of anybody's have ended.
                response = await client.get(await tab.make_download(file))
                assert response.status_code == 200
                check(unpacked(response.content), person, people, f"a download of {page}")
            check(await tab.open(*address_of(page, other)), person, people, f"{page} with another's address")


async def fetch_all(app: WebApp, person: Person, people: list[Person], cookie: str) -> None:
    """Every file that a page names or makes at a click; without the cookie it is refused."""
    found = 0
    async with open_tab(app.host, cookie) as tab, client_of(app, cookie) as client, client_of(app, "") as nobody:
        for page in _PAGES:
            await tab.open(*address_of(page, person))
            for address in sorted(tab.media):
                check((await client.get(address)).content, person, people, address)
            for file in sorted(tab.downloads):
                address = await tab.make_download(file)
                response = await client.get(address)
                assert response.status_code == 200, (page, address)
                assert person.word.encode() in unpacked(response.content), (page, address)
                check(unpacked(response.content), person, people, f"a download of {page}")
                assert (await nobody.get(address)).status_code == 401
                found += 1
    assert found >= 4  # the table of documents, an original, hits, failed work


def unpacked(data: bytes) -> bytes:
    """What is in a ZIP; anything else as it is."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def client_of(app: WebApp, cookie: str) -> httpx.AsyncClient:
    """What fetches a tab's files."""
    return httpx.AsyncClient(
        base_url=app.address,
        timeout=120,
        cookies={SESSION: cookie} if cookie else None,
        limits=httpx.Limits(max_keepalive_connections=0),  # the server closes those that are idle for a while
    )


_PAGES = ["documents", "document", "search", "chat", "evaluate", "operations", "account"]


def address_of(page: str, person: Person) -> tuple[str, str]:
    query = f"collection={person.collection}"
    if page == "document":
        query += f"&document={person.document}"
    elif page == "search":
        query += f"&q={SHARED_WORD}&mode=lexical"
    elif page == "chat":
        query += f"&chat={person.chats[person.number % 2]}"
    elif page == "evaluate":
        query += f"&set={person.questions}&question={person.question}"
    return page, query


def check(received: bytes, person: Person, people: list[Person], where: str) -> None:
    assert strangers_in(received, person, people) == set(), f"{where} showed person {person.number} a stranger's word"
