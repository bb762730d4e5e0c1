"""People at a product with sign-in, each in a browser of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect

from rag.settings import Settings
from rag.store.database import Database, open_database
from tests.browser.conftest import Running, open_tab

ADA, ADAS = "ada@example.org", "correct horse battery"
BEN, BENS = "ben@example.org", "nine green bottles"

#: A page that nobody touches looks every 15 s (pages/parts/shell.py), and two cores have other things to do too.
SECONDS = 40_000


@contextlib.contextmanager
def database_of(product: Running) -> Iterator[Database]:
    """The product's own database, beside it."""
    with open_database(Settings(_env_file=None, corpuscope_home=product.home)) as database:
        yield database


@contextlib.contextmanager
def signed_in(
    browser: Browser, product: Running, email: str, password: str, path: str = "/documents"
) -> Iterator[Page]:
    """A browser of its own, signed in, at ``path``."""
    with open_tab(browser, product) as tab:
        tab.goto(path)
        fill_in(tab, email, password)
        expect_inside(tab)
        yield tab


def fill_in(tab: Page, email: str, password: str) -> None:
    """The sign-in."""
    tab.get_by_label("E-mail address").fill(email)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Sign in", exact=True).click()


def expect_inside(tab: Page, who: str | None = None) -> None:
    """The app is there, and says who is signed in."""
    expect(tab.get_by_test_id("stSidebar").get_by_role("link", name="Documents")).to_be_visible()
    if who is not None:
        expect(visitor(tab)).to_contain_text(who)


def expect_ended(tab: Page) -> None:
    """Nothing is left but the word that the session has ended, and the way back in."""
    expect(tab.get_by_text("Your session has ended")).to_be_visible(timeout=SECONDS)
    expect(tab.get_by_role("link", name="Sign in again")).to_be_visible()
    expect(tab.get_by_test_id("stSidebar").get_by_role("link", name="Documents")).to_have_count(0)


def visitor(tab: Page):  # type: ignore[no-untyped-def]
    """The button under the navigation that names who is signed in."""
    return tab.locator(".st-key-visitor").get_by_role("button").first


def sign_out(tab: Page) -> None:
    """By the menu under the navigation."""
    visitor(tab).click()
    tab.get_by_role("button", name="Sign out", exact=True).click()
    expect(tab.get_by_text("You are signed out.")).to_be_visible()
