"""Another chunking, from the preview to the swap and back, by the pages alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser


def test_a_new_index_is_previewed_built_swapped_in_rolled_back_and_dropped(
    page: Page, browser: Browser, product: Running, shoot: Shoot
) -> None:
    page.goto("/documents")
    sample, ready = page.get_by_role("button", name="Try the sample corpus"), page.get_by_text(re.compile(r"\d+ ready"))
    expect(sample.or_(ready).first).to_be_visible()
    if sample.is_visible():
        sample.click()
    expect(ready).to_be_visible(timeout=240_000)
    expect(page.get_by_text(re.compile(r"\d in work"))).to_have_count(0, timeout=120_000)
    page.get_by_role("link", name="Indexes", exact=True).click()
    expect(page.get_by_text("title and headings before each")).to_be_visible()
    page.get_by_text("Build", exact=True).click()
    expect(page.get_by_text("has this model and this chunking already")).to_be_visible()
    expect(page.get_by_text("Active: chunks")).to_be_visible()
    slider = page.get_by_role("slider", name="Chunk size")
    slider.focus()
    for _ in range(12):
        slider.press("ArrowLeft")
    expect(page.get_by_text("has this model and this chunking already")).to_have_count(0)
    expect(page.get_by_role("button", name="Select chunk 2", exact=True)).to_be_visible()
    shoot(page, "indexes-build-light")
    page.get_by_role("button", name="Build this index").click()
    swap = page.get_by_role("button", name="Make active").first
    expect(swap).to_be_visible(timeout=120_000)
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible()
    shoot(page, "indexes-light")
    with open_tab(browser, product, dark=True) as dark:
        dark.goto(page.url)
        expect(dark.get_by_role("button", name="Make active").first).to_be_visible()
        shoot(dark, "indexes-dark")
    swap.click()
    expect(page.get_by_text("Both are swapped in one step")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Make active").click()
    expect(page.get_by_text(re.compile(r"Index \d+ answers now"))).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Go back to this one")).to_be_visible()
    drop = page.get_by_role("button", name="Drop", exact=True)
    expect(drop).to_have_count(1)  # the page's last look may still be drawn beside the new one
    drop.click()
    page.get_by_role("button", name="Drop it").click()
    expect(page.get_by_text("1 dropped index")).to_be_visible()
