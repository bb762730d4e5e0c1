"""“Why isn't it here?”: a document that is missed, the stage that lost it, and one click that brings it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.acting import choose
from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser

MISSED = "onboarding-checklist.md"


def test_a_missed_document_is_traced_and_brought_by_one_click(
    page: Page, browser: Browser, product: Running, shoot: Shoot
) -> None:
    page.goto("/documents")
    sample, ready = page.get_by_role("button", name="Try the sample corpus"), page.get_by_text(re.compile(r"\d+ ready"))
    expect(sample.or_(ready).first).to_be_visible()
    if sample.is_visible():
        sample.click()
    expect(ready).to_be_visible(timeout=240_000)
    expect(page.get_by_text(re.compile(r"\d in work"))).to_have_count(0, timeout=240_000)
    collection = re.search(r"collection=([0-9a-f-]{36})", page.url)
    assert collection is not None
    page.goto(f"/search?collection={collection.group(1)}&q=days+of+paid+leave&k=1")
    expect(page.get_by_text("1 passage from 1 document")).to_be_visible()
    page.get_by_text("Why isn’t it here?").click()
    choose(page, page.get_by_role("combobox", name="Document"), MISSED, typed=MISSED)
    lost = page.locator(".cs-lost")
    expect(lost).to_contain_text(re.compile("Among the first k|Kept by fusion"))
    expect(page).to_have_url(re.compile(r"[?&]why="))
    lost.scroll_into_view_if_needed()
    shoot(page, "why-light")
    with open_tab(browser, product, dark=True) as dark:
        dark.goto(page.url)
        expect(dark.locator(".cs-lost")).to_be_visible()
        dark.locator(".cs-lost").scroll_into_view_if_needed()
        shoot(dark, "why-dark")
    page.get_by_role("button", name="Do it").first.click()
    expect(page.get_by_text(re.compile(r"is there: number \d+ of the results"))).to_be_visible()
    expect(page.locator(".st-key-results").get_by_text(MISSED).first).to_be_visible()
