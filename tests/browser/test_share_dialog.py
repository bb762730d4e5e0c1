"""The dialog "Share" in Chromium: two people and a guest, and what each of them sees while it is used."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from rag.auth import people
from rag.corpus.documents import store_document
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.browser.acting import choose
from tests.browser.conftest import Running, Shoot, open_tab, running_product
from tests.browser.people import ADA, ADAS, BEN, BENS, SECONDS, database_of, expect_inside, signed_in
from tests.folders import temporary_folder
from tests.integration.door import hashed, make_collection, make_person

pytestmark = pytest.mark.browser

HANDBOOK = "Handbook"
FILE = "pumps.txt"


@pytest.fixture(scope="module")
def product(browser: Browser) -> Iterator[Running]:
    """Ada has a handbook with one file; Ben has an account and nothing else."""
    with (
        temporary_folder() as folder,
        running_product(folder / "home", AUTH="local", CORPUSCOPE_WORKERS="0") as running,
    ):
        with database_of(running) as database:
            populate(database)
        yield running


def populate(database: Database) -> None:
    with database.as_accounts() as conn:
        people.take_over_local(conn, ADA, "Ada Brook", hashed(ADAS))
    ben = make_person(database, BEN, BENS)
    with database.as_accounts() as conn:
        conn.execute("update corpuscope.people set name = 'Ben Ito' where user_id = %s", [ben])
    handbook = make_collection(database, LOCAL_USER, HANDBOOK)
    with database.as_user(LOCAL_USER) as conn:
        store_document(conn, handbook, FILE, io.BytesIO(b"The pump hums."), max_bytes=100)


@pytest.fixture
def ada(browser: Browser, product: Running) -> Iterator[Page]:
    with signed_in(browser, product, ADA, ADAS) as tab:
        yield tab


@pytest.fixture
def ben(browser: Browser, product: Running) -> Iterator[Page]:
    with signed_in(browser, product, BEN, BENS) as tab:
        yield tab


def open_share(tab: Page) -> Locator:
    tab.get_by_test_id("stMain").get_by_role("button", name="Collection", exact=True).click()
    tab.get_by_text("Share", exact=True).click()
    dialog = tab.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Share {HANDBOOK}")
    return dialog


def expect_file(tab: Page, *, there: bool) -> None:
    """What somebody sees of the handbook after opening the page anew."""
    tab.goto("/documents")
    expect_inside(tab)
    if there:
        expect(picked(tab)).to_be_visible()
    else:
        expect(tab.get_by_test_id("stMain").get_by_text(re.compile("Try the sample corpus"))).to_be_visible()
        expect(picked(tab)).to_have_count(0)


def picked(tab: Page) -> Locator:
    """The picker of collections, with the handbook in it."""
    return tab.locator(".st-key-collection_picker").filter(has=tab.locator(f"input[value*={HANDBOOK}]"))


def test_somebody_is_let_in_made_editor_and_shown_out(ada: Page, ben: Page, shoot: Shoot) -> None:
    expect_file(ben, there=False)
    dialog = open_share(ada)
    dialog.get_by_label("E-mail address").fill(BEN)
    dialog.get_by_role("button", name="Share", exact=True).click()
    expect(dialog).to_contain_text(f"{BEN} has access now, as viewer.")
    expect(dialog).to_contain_text("2 people have access")
    expect_file(ben, there=True)
    expect(ben.get_by_role("button", name="Add files")).to_have_count(0)

    choose(ada, dialog.get_by_role("combobox", name=re.compile("Role of Ben Ito")), "Editor")
    expect(dialog).to_contain_text("Ben Ito is editor now.")
    shoot(ada, "sharing-members")

    dialog.get_by_role("button", name="Remove", exact=True).click()
    expect(dialog).to_contain_text("Take access away from Ben Ito?")
    dialog.get_by_role("button", name="Keep as it is").click()
    expect(dialog).to_contain_text("2 people have access")
    dialog.get_by_role("button", name="Remove", exact=True).click()
    dialog.get_by_role("button", name="Take access away").click()
    expect(dialog).to_contain_text("Ben Ito has no access any more.")
    expect_file(ben, there=False)


def test_a_link_lets_one_person_in_and_no_second(ada: Page, ben: Page, browser: Browser, product: Running) -> None:
    dialog = open_share(ada)
    dialog.get_by_role("button", name="Viewer link").click()
    link = dialog.locator(".st-key-invitation-link code").inner_text().strip()
    assert "/join" in link
    expect(dialog).to_contain_text("Invitations that nobody used yet")
    ben.goto(link)
    ben.get_by_role("button", name=re.compile("Open|Accept|Join")).click()
    expect(picked(ben)).to_be_visible()
    with open_tab(browser, product) as stranger:
        stranger.goto(link)
        expect(stranger.locator("body")).to_contain_text(re.compile("used|doesn.t work"))
    ben.get_by_test_id("stMain").get_by_role("button", name="Collection", exact=True).click()
    ben.get_by_text("Who has access", exact=True).click()
    theirs = ben.get_by_role("dialog")
    expect(theirs.get_by_label("E-mail address")).to_have_count(0)
    theirs.get_by_role("button", name="Leave", exact=True).click()
    theirs.locator(".st-key-sharing-question").get_by_role("button", name="Leave", exact=True).click()
    expect(ben.get_by_text(f"You left {HANDBOOK}.")).to_be_visible()
    expect_file(ben, there=False)


def test_what_is_made_public_is_there_for_guests_until_it_is_private_again(
    ada: Page, browser: Browser, product: Running
) -> None:
    dialog = open_share(ada)
    dialog.get_by_role("button", name="Make public").click()
    expect(dialog).to_contain_text("guests without an account too")
    dialog.locator(".st-key-sharing-question").get_by_role("button", name="Make public").click()
    expect(dialog).to_contain_text(f"{HANDBOOK} is public now.")
    with open_tab(browser, product) as guest:
        guest.goto("/documents")
        guest.get_by_role("button", name="Look around as a guest").click()
        expect(picked(guest)).to_be_visible()
        dialog.get_by_role("button", name="Make private").click()
        dialog.locator(".st-key-sharing-question").get_by_role("button", name="Make private").click()
        expect(dialog).to_contain_text(f"{HANDBOOK} is private now.")
        guest.reload()
        expect_inside(guest)
        expect(picked(guest)).to_have_count(0, timeout=SECONDS)
    dialog.get_by_text("Activity", exact=True).click()
    expect(dialog).to_contain_text("public")
