"""Administration and account in Chromium: what is asked before each act, what comes of it, and both looks."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.auth import people
from rag.auth.administration import invite_person, list_people, set_account_open, set_limits
from rag.auth.sessions import open_session
from rag.corpus.documents import store_document
from rag.corpus.sharing import share
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.browser.conftest import Running, Shoot, open_tab, running_product
from tests.browser.people import (
    ADA,
    ADAS,
    BEN,
    BENS,
    database_of,
    expect_ended,
    expect_inside,
    fill_in,
    signed_in,
)
from tests.folders import temporary_folder
from tests.integration.door import hashed, make_collection, make_person

pytestmark = pytest.mark.browser

CYD, DORA = "cyd@example.org", "dora@example.org"


@pytest.fixture(scope="module")
def product(browser: Browser) -> Iterator[Running]:
    """An installation with a few people, who have a few things; the tests don't build on each other."""
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
    ben, cyd, dora = (make_person(database, email, BENS) for email in (BEN, CYD, DORA))
    with database.as_accounts() as conn:
        for person, name in ((ben, "Ben Ito"), (cyd, "Cyd Okafor"), (dora, "")):
            conn.execute("update corpuscope.people set name = %s where user_id = %s", [name, person])
    handbook, pumps, valves = (
        make_collection(database, owner, name)
        for owner, name in ((LOCAL_USER, "Handbook"), (ben, "Pumps"), (cyd, "Valves"))
    )
    fill(database, LOCAL_USER, handbook, 3, 4000)
    fill(database, ben, pumps, 8, 52_000)
    fill(database, cyd, valves, 2, 9000)
    with database.as_user(LOCAL_USER) as conn:
        share(conn, handbook, BEN, "editor")
        share(conn, handbook, CYD, "viewer")
        conn.execute("update public.collections set is_public = true where id = %s", [handbook])
        set_limits(conn, "person", None, files=500, bytes=2 * 10**9, questions_per_day=200)
        set_limits(conn, "person", ben, files=10, bytes=None, questions_per_day=None)
        invite_person(conn, "eli@example.org", as_administrator=True)
        invite_person(conn, None)
        set_account_open(conn, dora, False)
    for person, device in ((ben, "Firefox on Windows"), (ben, "Safari on iPhone"), (LOCAL_USER, "Safari on macOS")):
        with database.as_accounts() as conn:
            open_session(conn, person, "password", device=device, address="192.0.2.17", lasts=timedelta(days=9))


def fill(database: Database, person: UUID, collection: UUID, files: int, size: int) -> None:
    for number in range(files):
        data = f"{collection} {number}\n".encode() + b"word " * (size // 5)
        with database.as_user(person) as conn:
            store_document(conn, collection, f"file-{number}.txt", io.BytesIO(data), max_bytes=2**20)


def dialog(page: Page):  # type: ignore[no-untyped-def]
    return page.get_by_role("dialog")


def find(product: Running, email: str) -> UUID:
    with database_of(product) as database, database.as_user(LOCAL_USER) as conn:
        return next(person.user_id for person in list_people(conn) if person.email == email)


def open_person(page: Page, product: Running, email: str) -> None:
    page.goto(f"/administration?view=People&person={find(product, email)}")
    expect(page.locator(".st-key-person")).to_contain_text(email)


@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_pages_in_both_looks(browser: Browser, product: Running, shoot: Shoot, look: str) -> None:
    with open_tab(browser, product, dark=look == "dark") as page:
        page.goto("/administration")
        fill_in(page, ADA, ADAS)
        expect_inside(page, "Ada")
        open_person(page, product, BEN)
        page.wait_for_timeout(1500)
        shoot(page, f"administration-{look}")
        page.get_by_role("button", name="Delete account").click()
        expect(dialog(page)).to_contain_text("1 collection that nobody else owns passes to you: Pumps")
        page.wait_for_timeout(500)
        shoot(page, f"administration-delete-{look}")
        dialog(page).get_by_role("button", name="Keep as it is").click()
        expect(dialog(page)).to_have_count(0)
        for view in ("Invitations", "Limits", "Collections", "Activity"):
            page.get_by_test_id("stMain").get_by_role("radio", name=view).or_(
                page.get_by_test_id("stMain").get_by_role("button", name=view, exact=True)
            ).first.click()
            expect(page.locator(f".st-key-administration-{view.lower()}")).to_be_visible()
            page.wait_for_timeout(1500)
            shoot(page, f"administration-{view.lower()}-{look}")
            if view == "Invitations":
                page.get_by_role("button", name="Invite", exact=True).click()
                dialog(page).get_by_label("E-mail address").fill("fay@example.org")
                dialog(page).get_by_label("E-mail address").press("Enter")
                expect(dialog(page)).to_contain_text("One account for fay@example.org")
                page.wait_for_timeout(500)
                shoot(page, f"administration-invite-{look}")
                dialog(page).get_by_role("button", name="Keep as it is").click()
                expect(dialog(page)).to_have_count(0)
        page.goto("/account")
        expect(page.get_by_text("What you did")).to_be_visible()
        page.wait_for_timeout(1500)
        shoot(page, f"account-{look}")


def test_closing_an_account_shows_before_what_it_does_and_ends_an_open_page(browser: Browser, product: Running) -> None:
    with (
        signed_in(browser, product, CYD, BENS, "/documents") as theirs,
        signed_in(browser, product, ADA, ADAS) as page,
    ):
        open_person(page, product, CYD)
        page.get_by_role("button", name="Password link").click()
        expect(dialog(page)).to_contain_text("their 1 session ends")
        dialog(page).get_by_role("button", name="Keep as it is").click()
        expect(dialog(page)).to_have_count(0)
        page.get_by_role("button", name="Close account").click()
        expect(dialog(page)).to_contain_text("1 session ends at once")
        expect(dialog(page)).to_contain_text("2 collections and 2 files stay")
        dialog(page).get_by_role("button", name="Close account").click()
        expect(page.get_by_text("The account of Cyd Okafor is closed.")).to_be_visible()
        expect(dialog(page)).to_have_count(0)
        expect_ended(theirs)
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("button", name="Close account")).to_be_visible()
        theirs.goto("/documents")
        fill_in(theirs, CYD, BENS)
        expect_inside(theirs, "Cyd")


def test_an_invitation_is_made_shown_once_and_revoked(browser: Browser, product: Running) -> None:
    with signed_in(browser, product, ADA, ADAS, "/administration?view=Invitations") as page:
        page.get_by_role("button", name="Invite", exact=True).click()
        dialog(page).get_by_label("E-mail address").fill("fay@example.org")
        dialog(page).get_by_label("E-mail address").press("Enter")
        expect(dialog(page)).to_contain_text("One account for fay@example.org")
        dialog(page).get_by_role("button", name="Make the invitation").click()
        link = dialog(page).get_by_test_id("stCode")
        expect(link).to_contain_text(f"{product.address}/join#")
        expect(dialog(page).get_by_label("E-mail address")).to_have_count(0)
        address = link.inner_text().strip()
        dialog(page).get_by_role("button", name="Done").click()
        expect(dialog(page)).to_have_count(0)
        expect(page.get_by_text("fay@example.org")).to_be_visible()
        assert address.partition("#")[2] not in page.content()
        row = page.locator(".st-key-invitations [data-testid=stHorizontalBlock]").filter(has_text="fay@example.org")
        row.get_by_role("button", name="Revoke").click()
        expect(dialog(page)).to_contain_text("stops working at once")
        dialog(page).get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("fay@example.org")).to_have_count(0)
    with open_tab(browser, product) as tab:
        tab.goto(address)
        expect(tab.get_by_role("alert")).to_be_visible()


def test_limits_say_who_is_over_them_before_they_are_set(browser: Browser, product: Running) -> None:
    with signed_in(browser, product, ADA, ADAS, "/administration?view=Limits") as page:
        card = page.locator(".st-key-limits-collection")
        card.get_by_role("button", name="Change").click()
        dialog(page).get_by_label("Files").fill("5")
        dialog(page).get_by_label("Files").press("Enter")
        dialog(page).get_by_label(re.compile("^Space")).fill("1,5 gb")
        dialog(page).get_by_label(re.compile("^Space")).press("Enter")
        expect(dialog(page)).to_contain_text("Files: no limit → 5")
        expect(dialog(page)).to_contain_text("Space: no limit → 1.5 GB")
        expect(dialog(page)).to_contain_text("Pumps will be over it")
        dialog(page).get_by_role("button", name="Set limits").click()
        expect(card).to_contain_text("1.5 GB")
        page.get_by_role("button", name="Undo").click()
        expect(card).not_to_contain_text("1.5 GB")


def test_a_row_of_the_table_opens_the_person(browser: Browser, product: Running) -> None:
    with signed_in(browser, product, ADA, ADAS, "/administration") as page:
        table = page.locator(".st-key-administration-people").get_by_test_id("stDataFrame").first
        expect(table).to_be_visible()
        page.wait_for_timeout(1000)
        table.click(position={"x": 16, "y": 37 + 17})
        expect(page.locator(".st-key-person")).to_contain_text(ADA)
        expect(page).to_have_url(re.compile("person="))
        page.reload()
        expect(page.locator(".st-key-person")).to_contain_text(ADA)


def test_others_are_refused_and_see_no_entry(browser: Browser, product: Running) -> None:
    with signed_in(browser, product, BEN, BENS, "/administration?view=People") as page:
        expect(page.get_by_text("Only administrators can do that.")).to_be_visible()
        expect(page.get_by_text(CYD)).to_have_count(0)
        expect(page.get_by_test_id("stSidebar").get_by_role("link", name="Administration")).to_have_count(0)


def test_a_person_changes_the_password_and_signs_out_elsewhere(browser: Browser, product: Running) -> None:
    with (
        signed_in(browser, product, CYD, BENS) as other,
        signed_in(browser, product, CYD, BENS, "/account") as page,
    ):
        page.get_by_label("Present password").fill(BENS)
        page.get_by_label("New password", exact=True).fill("seven purple lanterns")
        page.get_by_label("New password again").fill("seven purple lanterns")
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_text("Your password was changed.")).to_be_visible()
        expect_ended(other)
        page.get_by_label("Name that others see").fill("Cyd O.")
        page.get_by_role("button", name="Save name").click()
        expect(page.locator(".st-key-visitor")).to_contain_text("Cyd O.")
        page.get_by_role("button", name="Sign out everywhere", exact=True).click()
        expect(dialog(page)).to_contain_text("this one too")
        dialog(page).get_by_role("button", name="Sign out everywhere").click()
        expect_ended(page)


@pytest.mark.parametrize("address", ["/administration", "/administration?view=Limits", "/account"])
def test_a_narrow_window_cuts_nothing_off(browser: Browser, product: Running, address: str) -> None:
    with open_tab(browser, product, width=390) as page:
        page.goto(address)
        fill_in(page, ADA, ADAS)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.wait_for_timeout(2000)
        main = page.locator("[data-testid=stMain]").first
        assert main.evaluate("node => node.scrollWidth - node.clientWidth") <= 1
