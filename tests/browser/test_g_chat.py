"""One conversation, three people in browsers of their own: all read the same stream, whenever they came to it."""

from __future__ import annotations

import contextlib
import io
import re
import statistics
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from rag.auth import people
from rag.chat.chat_records import Message
from rag.chat.chats import create_chat, list_messages
from rag.chat.participants import share_chat
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.corpus.sharing import share
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.browser.acting import choose, settled
from tests.browser.conftest import Running, Shoot, open_tab, running_product
from tests.browser.people import ADA, ADAS, BEN, BENS, database_of, expect_inside, fill_in, signed_in
from tests.folders import temporary_folder
from tests.integration.door import hashed, make_person
from tests.integration.library import wait_until
from tests.standin_openai import Say, StandInOpenAI

pytestmark = pytest.mark.browser

CY, CYS = "cy@example.org", "seven quiet rivers"
QUESTION = "What does the handbook say about leave and working from home?"
HANDBOOK = """# Handbook

## Leave

Every employee has 28 days of paid leave a year. Leave is asked for in the calendar two weeks ahead, and the team lead
answers within three days. Up to five days may be carried over into the next year, and lapse at the end of March.
Whoever falls ill during leave gets these days back against a doctor's note.

## Working from home

Two days a week may be worked from home. The day is chosen with the team and entered in the calendar on the Friday
before. Laptops are encrypted, and papers that are confidential stay in the office. Core hours are from ten to three.
"""
ANSWER = """The handbook gives every employee 28 days of paid leave a year [1]. Leave is asked for in the
calendar, two weeks ahead, and the team lead answers within three days, so that nobody waits for long [1]. What
isn't taken is not lost: up to five days may be carried over into the next year, where they lapse at the end of
March [1]. Whoever falls ill during leave gets these days back, but has to hand in a doctor's note [1].

Working from home is possible on two days a week [1]. Which days these are is agreed with the team, and they are
entered in the calendar on the Friday before, so that everybody can see who will be in the office [1]. Core
hours are the same wherever one works: from ten to three [1]. Two rules apply outside the office. Laptops have
to be encrypted, and papers that are confidential stay where they are, which also means that they are not
photographed or sent home [1].

In short: 28 days, asked for early and answered soon; and two days a week at home, planned with the team. The
handbook says nothing about working from abroad."""
PIECES = re.findall(r"\s*\S+", ANSWER)
PIECE_S = 0.12
FIRST_WORDS = "The handbook gives every employee"

#: Notes what an answer that begins with given words says, whenever the page changes, and when that was.
_OBSERVE = """(first) => {
  window.seen = []
  let last = null
  const look = () => {
    const texts = [...document.querySelectorAll('[data-testid="stMarkdownContainer"]')].map(one => one.textContent)
    const text = texts.find(one => one.trimStart().startsWith(first)) ?? ""
    if (text !== last) window.seen.push([Date.now() / 1000, last = text])
  }
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true})
}"""


@dataclass
class Place:
    """The product, its chat model, and the collection that Ada, Ben and Cy have in common."""

    product: Running
    database: Database
    server: StandInOpenAI
    collection: UUID
    others: list[UUID]

    def conversation(self, title: str) -> UUID:
        """A new one of Ada's that the others are in."""
        with self.database.as_user(LOCAL_USER) as conn:
            chat = create_chat(conn, self.collection, title)
            share_chat(conn, chat, self.others)
        return chat

    def path(self, chat: UUID | None = None) -> str:
        return f"/chat?collection={self.collection}" + (f"&chat={chat}" if chat else "")

    def answer(self, chat: UUID) -> Message:
        """The conversation's first."""
        with self.database.as_user(LOCAL_USER) as conn:
            return next(message for message in list_messages(conn, chat) if message.role == "assistant")


@pytest.fixture(scope="module")
def place(browser: Browser) -> Iterator[Place]:
    with (
        temporary_folder() as folder,
        StandInOpenAI() as server,
        running_product(
            folder / "home",
            AUTH="local",
            CORPUSCOPE_WORKERS="1",
            OPENAI_BASE_URL=server.base_url,
            OPENAI_API_KEY="k",
            CHAT_MODEL="stand-in",
            EMBEDDING_PROVIDER="openai",
            EMBEDDING_MODEL="stand-in",
            EMBEDDING_DIMENSIONS="8",
        ) as running,
        database_of(running) as database,
    ):
        server.default_chat = Say(PIECES, delay_s=PIECE_S)
        yield populate(running, database, server)


def populate(product: Running, database: Database, server: StandInOpenAI) -> Place:
    with database.as_accounts() as conn:
        people.take_over_local(conn, ADA, "Ada Brook", hashed(ADAS))
    others = [make_person(database, BEN, BENS), make_person(database, CY, CYS)]
    with database.as_accounts() as conn:
        for person, name in zip(others, ("Ben Ito", "Cy Okafor"), strict=True):
            conn.execute("update corpuscope.people set name = %s where user_id = %s", [name, person])
    wait_until(lambda: _counts(database, "public.embedding_models"), 60)
    with database.as_user(LOCAL_USER) as conn:
        collection = create_collection(conn, "Handbook")
    with database.as_user(LOCAL_USER) as conn:
        store_document(conn, collection, "handbook.md", io.BytesIO(HANDBOOK.encode()), max_bytes=10_000)
        for email in (BEN, CY):
            share(conn, collection, email, "viewer")
    wait_until(lambda: _counts(database, "public.documents where stage = 'ready'"), 120)
    return Place(product, database, server, collection, others)


def _counts(database: Database, rows: str) -> bool:
    with database.as_worker() as conn:
        return conn.execute(f"select from {rows}".encode()).rowcount > 0


@pytest.fixture
def ada(browser: Browser, place: Place) -> Iterator[Page]:
    with signed_in(browser, place.product, ADA, ADAS) as tab:
        yield tab


@pytest.fixture
def ben(browser: Browser, place: Place) -> Iterator[Page]:
    with signed_in(browser, place.product, BEN, BENS) as tab:
        yield tab


@pytest.fixture
def cy(browser: Browser, place: Place) -> Iterator[Page]:
    """In the dark."""
    with open_tab(browser, place.product, dark=True) as tab:
        tab.goto("/documents")
        fill_in(tab, CY, CYS)
        expect_inside(tab)
        yield tab


def go_to(tab: Page, place: Place, chat: UUID | None = None) -> None:
    tab.goto(place.path(chat))
    expect(box_of(tab)).to_be_visible()
    settled(tab)


def box_of(tab: Page) -> Locator:
    return tab.get_by_test_id("stChatInput").get_by_role("textbox")


def ask(tab: Page, question: str) -> None:
    box_of(tab).fill(question)
    box_of(tab).press("Enter")


def stop(tab: Page) -> None:
    """The first answer that is being written."""
    tab.locator(".st-key-chat-thread").get_by_role("button", name="Stop", exact=True).first.click()


def answer_of(tab: Page) -> Locator:
    """What the first answer says, growing or finished."""
    return tab.get_by_test_id("stMarkdownContainer").filter(has_text=re.compile(rf"^\s*{FIRST_WORDS}")).first


def bare(text: str) -> str:
    """Without white space, in which a text and what a page makes of it differ."""
    return "".join(text.split())


@dataclass
class Watcher:
    """Reads the rows of an answer while it is made; they are gone once it is finished."""

    database: Database
    chat: UUID
    written: dict[int, tuple[float, str]] = field(default_factory=dict)

    def delays(self, seen: list[tuple[float, str]]) -> list[float]:
        """Seconds from the writing of each delta until a page showed it."""
        found, length = [], 0
        for _, (at, text) in sorted(self.written.items()):
            length += len(bare(text))
            shown = next((moment for moment, shown in seen if len(bare(shown)) >= length), None)
            assert shown is not None, f"{text!r} was never shown"
            found.append(shown - at)
        return found

    def look(self) -> None:
        with self.database.as_worker() as conn:
            rows = conn.execute(
                "select d.seq, extract(epoch from d.created_at)::float, d.text from public.message_deltas d"
                " join public.messages m on m.id = d.message_id where m.chat_id = %s",
                [self.chat],
            ).fetchall()
        self.written |= {seq: (at, text) for seq, at, text in rows}


@contextlib.contextmanager
def watching(place: Place, chat: UUID) -> Iterator[Watcher]:
    watcher, over = Watcher(place.database, chat), threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            watcher.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watcher
    finally:
        over.set()
        thread.join(20)


def test_three_people_read_one_answer_as_it_is_written(
    ada: Page, ben: Page, cy: Page, place: Place, shoot: Shoot
) -> None:
    assert len(PIECES) == 200
    chat = place.conversation("Leave")
    go_to(ada, place, chat)
    go_to(ben, place, chat)
    ben.evaluate(_OBSERVE, FIRST_WORDS)
    with watching(place, chat) as watcher:
        ask(ada, QUESTION)
        expect(answer_of(ben)).to_contain_text("28 days of paid leave")
        cy.goto(place.path(chat), wait_until="commit")
        ada.reload(wait_until="commit")
        expect(answer_of(cy)).to_contain_text("28 days of paid leave")
        expect(answer_of(ada)).to_contain_text("28 days of paid leave")
        expect(ben.locator(".cs-people")).to_contain_text("Cy Okafor")
        assert place.answer(chat).phase == "generating", "too slow a machine: the third was to join in the middle"
        expect(answer_of(ben)).to_contain_text("the Friday before")
        shoot(ben, "chat-shared-light")
        shoot(cy, "chat-shared-dark")
        for tab in (ada, ben, cy):
            expect(tab.get_by_text(re.compile("^Complete ·"))).to_be_visible(timeout=90_000)
    content = place.answer(chat).content
    assert content == ANSWER
    texts = [answer_of(tab).evaluate("one => one.textContent") for tab in (ada, ben, cy)]
    assert texts[0] == texts[1] == texts[2]
    whole = bare(content)
    seen = ben.evaluate("window.seen")
    for _, text in seen:
        assert whole.startswith(bare(text)), "a gap or a repeat"
    delays = sorted(1000 * delay for delay in watcher.delays(seen))
    median, late = statistics.median(delays), delays[int(0.95 * len(delays))]
    print(f"\nthe second person saw {len(delays)} deltas after {median:.0f} ms (median), {late:.0f} ms (p95)")


def test_anybody_stops_an_answer_and_the_next_question_is_answered(ada: Page, ben: Page, place: Place) -> None:
    chat = place.conversation("Leave again")
    go_to(ada, place, chat)
    go_to(ben, place, chat)
    ask(ada, QUESTION)
    expect(answer_of(ben)).to_be_visible()
    expect(ben.locator(".st-key-chat-thread .cs-person").first).to_contain_text("Ada Brook")
    ask(ben, "And what about working from abroad?")
    expect(ben.get_by_text("1 question before yours")).to_be_visible()
    expect(ada.get_by_text("1 question before it")).to_be_visible()
    show_out_of_it(ada, place.others[1])
    stop(ben)
    for tab in (ada, ben):
        expect(tab.get_by_text("Stopped before it was finished.").first).to_be_visible()
        expect(tab.get_by_text("And what about working from abroad?")).to_be_visible()
    assert place.answer(chat).phase == "stopped"
    stopped = bare(place.answer(chat).content)
    assert stopped
    assert len(stopped) < len(bare(ANSWER))
    assert bare(ANSWER).startswith(stopped)
    for tab in (ada, ben):
        expect(tab.get_by_text("1 question before")).to_have_count(0)
    stop(ada)
    expect(ben.get_by_text("Stopped before it was finished.")).to_have_count(2)


def show_out_of_it(tab: Page, person: UUID) -> None:
    """By the dialog, which works while the page behind it has an answer to follow."""
    tab.get_by_role("button", name="Share", exact=True).click()
    dialog = tab.get_by_role("dialog")
    dialog.locator(f".st-key-remove-{person}").get_by_role("button").click()
    expect(dialog).to_contain_text("can't open it any more", timeout=8_000)
    close(dialog)


def close(dialog: Locator) -> None:
    """By its cross: a key is lost while the focus is between two elements."""
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def test_a_conversation_is_shared_by_its_dialog_and_left(ada: Page, ben: Page, place: Place) -> None:
    with place.database.as_user(LOCAL_USER) as conn:
        chat = create_chat(conn, place.collection, "Between Ada and Ben")
    go_to(ada, place, chat)
    ada.get_by_role("button", name="Share", exact=True).click()
    dialog = ada.get_by_role("dialog")
    choose(ada, dialog.get_by_role("combobox"), "Ben Ito")
    ada.keyboard.press("Escape")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog).to_contain_text("Ben Ito (ben@example.org) can open it now")
    close(dialog)
    go_to(ben, place)
    ben.get_by_role("button", name="Between Ada and Ben").click()
    expect(ben).to_have_url(re.compile(str(chat)))
    expect(ben.locator(".cs-people")).to_contain_text("Ada Brook")
    ben.get_by_role("button", name="People", exact=True).click()
    theirs = ben.get_by_role("dialog")
    expect(theirs.get_by_role("button", name="Add")).to_have_count(0)
    theirs.get_by_role("button", name="Leave", exact=True).click()
    theirs.locator(".st-key-chat-leaving").get_by_role("button", name="Leave", exact=True).click()
    expect(ben.get_by_text("You left “Between Ada and Ben”.")).to_be_visible()
    expect(ben.get_by_role("button", name="Between Ada and Ben")).to_have_count(0)
