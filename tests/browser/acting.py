"""What a person does with a page that is still being drawn: look again and try once more.

A slow machine runs a page's script while a menu is open, which closes it and drops what was typed. So these act once
nothing runs, and look at what came of it.
"""

from __future__ import annotations

import re

from playwright.sync_api import Error, Locator, Page, expect

#: ms until an option has to be there; then the menu is opened anew.
_SOON = 5_000
_TRIES = 8


def settled(page: Page) -> None:
    """Wait until no script of the page runs. Parts that refresh themselves run now and then: a glimpse is enough."""
    expect(page.locator("[data-test-script-state='notRunning']")).to_be_attached(timeout=60_000)


def choose(page: Page, box: Locator, option: str | re.Pattern[str], *, typed: str | None = None) -> None:
    """Open the combobox, type if it takes text, and click the option: however often the page closes the menu."""
    wanted = page.get_by_role("option", name=option).first
    for _ in range(_TRIES):
        settled(page)
        try:
            box.click(timeout=_SOON)
            if typed is not None:
                page.keyboard.type(typed)
            wanted.click(timeout=_SOON)
        except Error:
            page.keyboard.press("Escape")
        else:
            return
    wanted.click(timeout=_SOON)


def open_section(page: Page, name: str) -> None:
    """One of the sections of the page Evaluate."""
    pill = page.locator(".st-key-section").get_by_role("radio", name=name, exact=True)
    for _ in range(_TRIES):
        settled(page)
        pill.click()
        try:
            expect(pill).to_be_checked(timeout=_SOON)
        except AssertionError:
            continue
        return
    expect(pill).to_be_checked(timeout=_SOON)
