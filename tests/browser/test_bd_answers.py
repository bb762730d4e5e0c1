"""What can be done with an answer, by its small buttons: they are HTML that one component listens to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.acting import settled
from tests.browser.conftest import Shoot

pytestmark = pytest.mark.browser

LEAVE = "How many days of paid leave does an employee have?"


def act(page: Page, name: str) -> None:
    """Press the last button of that name, once the page is quiet."""
    settled(page)
    page.get_by_role("button", name=re.compile(f"^{re.escape(name)}")).last.click()


def test_an_answer_is_explained_repeated_flipped_and_taken_along(page: Page, shoot: Shoot) -> None:
    page.goto("/chat")
    box = page.get_by_test_id("stChatInput").get_by_role("textbox")
    box.fill(LEAVE)
    box.press("Enter")
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    act(page, "Copy the answer with its sources")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "28 days of paid leave" in copied
    assert "**Sources**" in copied

    act(page, "Why this answer?")
    why = page.locator("[class*=st-key-why-]")
    expect(why).to_contain_text("The documents still say all of this")
    why.locator("summary").first.click()
    expect(why.locator(".cs-quote").first).to_be_visible()
    page.set_viewport_size({"width": 1360, "height": 1400})  # all of it at once
    shoot(page, "chat-why-light")
    page.set_viewport_size({"width": 1360, "height": 860})
    with page.expect_download() as download:
        why.get_by_role("button", name="Save this answer as Markdown").click()
    assert "28 days of paid leave" in Path(download.value.path()).read_text()
    act(page, "Why this answer?")
    expect(why).to_have_count(0)

    act(page, "Answer again")
    expect(page.get_by_text("2 / 2")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)
    act(page, "Earlier answer")
    expect(page.get_by_text("1 / 2")).to_be_visible()
    expect(page).to_have_url(re.compile("[?&]at="))

    act(page, "Edit the question")
    field = page.get_by_label("Your question")
    expect(field).to_have_value(LEAVE)
    field.fill("What does error E07 mean?")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_test_id("stChatMessage").first).to_contain_text("error E07")
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)
    act(page, "Earlier question")
    expect(page.get_by_test_id("stChatMessage").first).to_contain_text(LEAVE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    exported = Path(download.value.path()).read_text()
    assert LEAVE in exported
    assert "error E07" not in exported
