"""Two people on one installation with AUTH=local, each in a browser of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.records import LOCAL_USER
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
    sign_out,
    signed_in,
    visitor,
)
from tests.folders import temporary_folder
from tests.integration.door import invite, make_collection

pytestmark = pytest.mark.browser


def start_again(home: Path, before: Running | None = None) -> AbstractContextManager[Running]:
    port = int(before.address.rpartition(":")[2]) if before else None
    return running_product(home, port, AUTH="local", CORPUSCOPE_WORKERS="0")


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_folder() as folder:
        yield folder / "home"


@pytest.fixture(scope="module")
def product(browser: Browser, home: Path) -> Iterator[Running]:
    """Nobody has an account when the tests begin; they build on each other, in their order."""
    with start_again(home) as running:
        yield running


@pytest.fixture(scope="module")
def installation(browser: Browser, product: Running) -> Running:
    """The same with Ada, who runs it."""
    with open_tab(browser, product) as tab:
        tab.goto("/sign-in")
        # Until the database answers, the page is another one, which looks again by itself.
        expect(tab.get_by_role("heading", name=re.compile("^Sign in$|^Make the first account$"))).to_be_visible()
        if tab.url.endswith("/sign-up"):
            make_first(tab)
    return product


def make_first(tab: Page) -> None:
    tab.get_by_label("E-mail address").fill(ADA)
    tab.get_by_label("Your name").fill("Ada")
    tab.get_by_label("Password").fill(ADAS)
    tab.get_by_role("button", name="Make the account").click()
    expect_inside(tab, "Ada")


def test_the_first_to_come_makes_the_account_that_runs_it(browser: Browser, product: Running) -> None:
    with open_tab(browser, product) as tab:
        tab.goto("/search?q=pump")
        make_first(tab)
        expect(tab).to_have_url(re.compile(r"/search\?q=pump$"))
        tab.reload()
        expect_inside(tab, "Ada")
        expect(tab).to_have_url(re.compile(r"/search\?q=pump$"))
        other = tab.context.new_page()
        other.goto("/operations")
        expect_inside(other, "Ada")
        assert tab.evaluate("document.cookie").count("corpuscope") == 0, "no script reads the session"


def test_a_wrong_password_is_said_and_the_deep_link_is_kept(
    browser: Browser, installation: Running, shoot: Shoot
) -> None:
    for dark in (False, True):
        with open_tab(browser, installation, dark=dark) as tab:
            tab.goto("/chat?collection=3f0c")
            shoot(tab, f"sign-in-{'dark' if dark else 'light'}")
            fill_in(tab, ADA, "something else")
            expect(tab.get_by_role("alert")).to_contain_text("password is wrong")
            expect(tab.get_by_label("E-mail address")).to_have_value(ADA)
            expect(tab.get_by_label("Password")).to_be_focused()
            tab.get_by_label("Password").fill(ADAS)
            tab.keyboard.press("Enter")
            expect_inside(tab, "Ada")
            assert "/chat" in tab.url


def test_the_pages_work_in_a_narrow_window(browser: Browser, installation: Running) -> None:
    with open_tab(browser, installation, width=380) as tab:
        for path in ("/sign-in", "/join", "/reset", "/guest"):
            tab.goto(path)
            assert tab.evaluate("document.documentElement.scrollWidth") <= 380, path


def test_an_invitation_becomes_an_account(browser: Browser, installation: Running) -> None:
    with database_of(installation) as database:
        collection = make_collection(database, LOCAL_USER, "Valves")
        token = invite(database, BEN, collection_id=collection, role="viewer")
    with open_tab(browser, installation) as tab:
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"/join#{token}")
        expect(tab.get_by_text("the collection Valves")).to_be_visible()
        assert token not in tab.url
        assert token not in tab.content()
        expect(tab.get_by_label("E-mail address")).to_have_value(BEN)
        tab.get_by_label("Your name").fill("Ben")
        tab.get_by_label("Password").fill(BENS)
        tab.get_by_role("button", name="Make my account").click()
        expect_inside(tab, "Ben")
        expect(tab.get_by_text("Valves").first).to_be_visible()
        assert not [url for url in asked if token in url], "the secret of a link is in no address that was asked for"
        tab.go_back()
        assert token not in tab.url
    with open_tab(browser, installation) as tab:
        tab.goto(f"/join#{token}")
        expect(tab.get_by_role("alert")).to_contain_text("was used already")


def test_a_link_works_without_a_script(browser: Browser, installation: Running) -> None:
    with database_of(installation) as database:
        token = invite(database, "cy@example.org")
    context = browser.new_context(java_script_enabled=False, base_url=installation.address)
    try:
        tab = context.new_page()
        tab.goto("/join")
        tab.get_by_label("Link").fill(f"{installation.address}/join#{token}")
        tab.get_by_role("button", name="Continue").click()
        expect(tab.get_by_label("E-mail address")).to_have_value("cy@example.org")
    finally:
        context.close()


def test_an_open_page_ends_when_its_session_is_revoked(browser: Browser, installation: Running) -> None:
    """Nobody touches the page; it notices by itself, shows nothing any more, and leads back to where it was."""
    with signed_in(browser, installation, ADA, ADAS, "/operations") as tab:
        with database_of(installation) as database, database.as_accounts() as conn:
            conn.execute(
                "update corpuscope.sessions set ended_at = now(), end_reason = 'an administrator ended it'"
                " where user_id = %s and ended_at is null",
                [LOCAL_USER],
            )
        expect_ended(tab)
        expect(tab.get_by_text("an administrator ended it")).to_be_visible()
        expect(tab.get_by_role("heading", name="Operations")).to_have_count(0)
        tab.get_by_role("link", name="Sign in again").click()
        fill_in(tab, ADA, ADAS)
        expect_inside(tab, "Ada")
        expect(tab).to_have_url(re.compile(r"/operations(\?collection=.*)?$"))


def test_signing_out_everywhere_ends_every_page_of_the_person(browser: Browser, installation: Running) -> None:
    with (
        signed_in(browser, installation, ADA, ADAS) as here,
        signed_in(browser, installation, ADA, ADAS, "/chat") as there,
        signed_in(browser, installation, ADA, ADAS, "/search") as elsewhere,
    ):
        here.goto("/sign-out")
        here.get_by_role("button", name="Sign out on all my devices").click()
        expect(here.get_by_text("You are signed out on all your devices.")).to_be_visible()
        expect_ended(there)
        expect_ended(elsewhere)
        there.reload()
        expect(there.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_out_leaves_nothing_behind_for_the_next_person(browser: Browser, installation: Running) -> None:
    with signed_in(browser, installation, ADA, ADAS) as tab:
        expect(visitor(tab)).to_contain_text("Ada")
        sign_out(tab)
        tab.go_back()
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
        fill_in(tab, BEN, BENS)
        expect_inside(tab, "Ben")
        expect(tab.get_by_text(ADA)).to_have_count(0)


def test_too_many_guesses_lock_the_account_for_a_while(browser: Browser, installation: Running) -> None:
    with open_tab(browser, installation) as tab:
        tab.goto("/sign-in")
        for _ in range(11):
            fill_in(tab, BEN, "a guess at it")
        expect(tab.get_by_role("alert")).to_contain_text("too many attempts")
        expect(tab.get_by_role("alert")).to_contain_text("15 minutes")
        fill_in(tab, BEN, BENS)
        expect(tab.get_by_role("alert")).to_contain_text("too many attempts")
    with signed_in(browser, installation, ADA, ADAS) as tab:
        expect_inside(tab, "Ada")


def test_guests_look_around_in_what_is_public(browser: Browser, installation: Running) -> None:
    with database_of(installation) as database:
        collection = make_collection(database, LOCAL_USER, "Demo")
        with database.as_user(LOCAL_USER) as conn:
            conn.execute("update public.collections set is_public = true where id = %s", [collection])
    with open_tab(browser, installation) as tab:
        tab.goto("/search")
        tab.get_by_role("button", name="Look around as a guest").click()
        expect_inside(tab, "Guest")
        expect(tab.get_by_test_id("stSidebar").get_by_role("link", name="Operations")).to_have_count(0)


def test_a_session_outlives_the_server(browser: Browser, product: Running, home: Path, installation: Running) -> None:
    """Runs last: it stops the product of this module and starts it again in its place."""
    with signed_in(browser, installation, ADA, ADAS, "/documents") as tab:
        product.process.send_signal(2)
        product.process.wait(60)
        with start_again(home, product):
            expect_inside(tab, "Ada")
            tab.reload()
            expect_inside(tab, "Ada")
            sign_out(tab)
