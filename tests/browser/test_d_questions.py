"""A set of questions by the page alone: imported from a file that somebody chose, and judged."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.acting import settled
from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser

TABLE = (
    "question,document,phrase,grade\n"
    "How many days of paid leave does an employee have?,employee-handbook.md,,3\n"
    "How long is the trial period?,employee-handbook.md,,2\n"
    "What does error E07 mean?,support-faq.md,,2\n"
    "Who sails the seven seas?,logbook.txt,,1\n"
)


def open_sample(page: Page) -> None:
    """The sample corpus, loaded if this test runs alone, once it is read; questions need no vectors."""
    page.goto("/documents")
    load = page.get_by_role("button", name="Try the sample corpus")
    expect(load.or_(page.get_by_text(re.compile(r"\d+ ready"))).first).to_be_visible()
    if load.count():
        load.first.click()
    else:
        page.locator(".st-key-collection_picker input").fill("Sample corpus")
        page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"\d+ ready|Embedding \d+ of")).first).to_be_visible(timeout=120_000)


def new_set(page: Page, name: str) -> None:
    """An empty set of questions on the page Evaluate, whatever other sets there are."""
    page.get_by_role("link", name="Evaluate", exact=True).click()
    first = page.get_by_role("button", name="Make a set of questions")
    menu = page.get_by_role("button", name="Set", exact=True)
    expect(first.or_(menu).first).to_be_visible()
    if first.count():
        first.click()
    else:
        menu.click()
        page.get_by_text("New set").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the set").click()
    # Until then the set of before is there, with an upload of its own.
    expect(page.get_by_role("combobox", name="Set of questions")).to_have_value(name)
    settled(page)


def look_up(page: Page, phrase: str) -> None:
    """Until it is found: when this test runs alone, documents are still being read."""
    field = page.get_by_label("Add an answer")
    found = page.get_by_text(re.compile("with these words: choose"))
    missing = page.get_by_text("No document has these words")
    for spaces in range(60):
        field.fill(phrase + " " * spaces)
        field.press("Enter")
        expect(found.or_(missing)).to_be_visible()
        if found.count():
            return
        page.wait_for_timeout(1000)


def test_a_set_is_imported_and_judged(browser: Browser, product: Running, page: Page, shoot: Shoot) -> None:
    open_sample(page)
    new_set(page, "What staff ask")
    expect(page.get_by_text("This set has no questions yet.")).to_be_visible()

    file = {"name": "staff.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
    page.locator("input[type=file]").first.set_input_files(files=file)  # type: ignore[arg-type]
    expect(page.get_by_text("1 row can't be used as it is")).to_be_visible()
    shoot(page, "evaluate-import-light")
    page.get_by_role("button", name="Import 4 questions and 3 judgements").click()
    expect(page.get_by_text("4 questions and 3 judgements imported")).to_be_visible()
    expect(page.get_by_text("4 questions, 3 with an answer judged")).to_be_visible()

    page.get_by_text("Add questions").click()
    page.get_by_role("tab", name="Type one in").click()
    page.get_by_label("Question", exact=True).fill("What is the warranty of spare parts?")
    page.get_by_role("button", name="Add the question").click()
    expect(page.get_by_role("heading", name="What is the warranty of spare parts?")).to_be_visible()
    look_up(page, "spare parts are available for ten years after the end of production")
    page.get_by_role("button", name="This answers").first.click()
    expect(page.get_by_role("link", name="warranty-and-returns.txt")).to_be_visible()
    expect(page.get_by_text("5 questions, 4 with an answer judged")).to_be_visible()
    address = page.url
    for dark in (False, True):
        with open_tab(browser, product, dark=dark) as other:  # the address says it all
            other.goto(address)
            expect(other.get_by_text("What is the warranty of spare parts?").first).to_be_visible()
            shoot(other, f"evaluate-{'dark' if dark else 'light'}")
