"""An empty product, as its first visitor sees it; these run before anything is uploaded."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser


def test_a_page_opened_by_its_address_first_comes_in_the_apps_frame(page: Page) -> None:
    """Until the app ran once, Streamlit would run pages/documents.py by itself, without app.py."""
    page.goto("/documents")
    expect(page.get_by_role("heading", name="Documents")).to_be_visible(timeout=90_000)
    expect(page.get_by_test_id("stSidebarNav").get_by_text("Operations")).to_be_visible()
    expect(page.get_by_test_id("stSidebarNav").get_by_text("parts")).to_have_count(0)
    expect(page).to_have_title(re.compile("Corpuscope"))


def test_the_bare_address_leads_to_documents(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Documents")).to_be_visible()
    expect(page).to_have_url(re.compile("/documents"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/documents", "Look inside your corpus"),
        ("/search", "There is no collection yet"),
        ("/chat", "There is no collection yet"),
        ("/document", "No document chosen"),
        ("/operations", "No collection yet"),
    ],
)
def test_every_page_says_what_to_do_first(
    browser: Browser, product: Running, shoot: Shoot, address: str, said: str
) -> None:
    for dark in (False, True):
        with open_tab(browser, product, dark=dark) as page:
            page.goto(address)
            expect(page.get_by_text(said)).to_be_visible()
            if address in ("/documents", "/search", "/chat"):
                expect(page.get_by_role("button", name="Try the sample corpus")).to_be_visible()
                shoot(page, f"{address[1:]}-empty-{'dark' if dark else 'light'}")
