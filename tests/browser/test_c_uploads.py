"""Uploading: what becomes of each file, failures in words, deleting with a word on what goes."""

from __future__ import annotations

import re
import uuid

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser


def text_file(name: str, text: str) -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": text.encode()}


def upload(page: Page, *files: FilePayload) -> None:
    button = page.get_by_role("button", name="Upload files", exact=True)
    if not button.is_visible():
        page.get_by_text("Add documents").click()
    expect(button).to_be_visible()
    page.locator("input[type=file]").first.set_input_files(list(files))
    for file in files:
        expect(page.get_by_role("button", name=f"Remove {file['name']}")).to_be_visible()
    button.click()


@pytest.fixture
def collection(page: Page) -> str:
    """A new collection, open on its Documents page."""
    name = f"Test {uuid.uuid4().hex[:6]}"
    page.goto("/documents")
    menu = page.get_by_role("button", name="Collection", exact=True)
    expect(menu.or_(page.get_by_text("Look inside your corpus"))).to_be_visible()
    if menu.count():
        menu.click()
        page.get_by_text("New collection").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create collection").click()
    expect(page.get_by_text("has no documents yet")).to_be_visible()
    return name


def test_files_duplicates_and_failures_are_told_apart(page: Page, collection: str, shoot: Shoot) -> None:
    upload(
        page,
        text_file("pump.txt", "The warranty of the Falcon pump is 27 months from delivery. " * 5),
        text_file("lake.txt", "Ducks on the lake eat elm leaves in summer. " * 5),
        {"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 this is not really a PDF"},
    )
    expect(page.get_by_text("3 files stored")).to_be_visible()
    expect(page.get_by_text("· 1 failed")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("· 2 ready")).to_be_visible(timeout=120_000)
    shoot(page, "documents-failed-light")

    page.get_by_role("button", name="Dismiss").click()
    same = "The warranty of the Falcon pump is 27 months from delivery. " * 5
    upload(page, text_file("again.txt", same), text_file("lake.txt", "Other words about the lake. " * 9))
    expect(page.get_by_text("1 duplicate")).to_be_visible()
    expect(page.get_by_text("1 name taken")).to_be_visible()
    page.get_by_role("button", name="Keep both").click()
    expect(page.get_by_text("1 file stored")).to_be_visible()
    expect(page.get_by_text("4 documents")).to_be_visible()
    expect(page.get_by_text("· 3 ready")).to_be_visible(timeout=120_000)


def test_deleting_asks_first_and_says_what_goes(page: Page, collection: str) -> None:
    upload(page, text_file("one.txt", "One text about herons and their nests. " * 5))
    expect(page.get_by_text("· 1 ready")).to_be_visible(timeout=120_000)
    page.wait_for_timeout(1500)
    table = page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 16, "y": 55})
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("1 chunk"))).to_be_visible()
    dialog.get_by_role("button", name="Keep").click()
    expect(page.get_by_text(re.compile("^1 document ·"))).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Put in the trash").click()
    expect(page.get_by_text("has no documents yet")).to_be_visible()


def test_the_table_opens_a_document_and_its_original_downloads(page: Page, collection: str) -> None:
    text = "A text that is downloaded again as it was. " * 5
    upload(page, text_file("back.txt", text))
    expect(page.get_by_text("· 1 ready")).to_be_visible(timeout=120_000)
    page.wait_for_timeout(1500)
    page.get_by_test_id("stDataFrame").first.click(position={"x": 64, "y": 55})
    expect(page).to_have_url(re.compile(r"/document\?document="))
    with page.expect_download() as download:
        page.get_by_role("link", name="Original").click()
    assert download.value.suggested_filename == "back.txt"
    assert download.value.path().read_text() == text


def test_a_second_tab_sees_what_the_first_uploads(
    browser: Browser, page: Page, product: Running, collection: str
) -> None:
    with open_tab(browser, product) as other:
        other.goto(page.url)
        expect(other.get_by_text("has no documents yet")).to_be_visible()
        upload(page, text_file("seen.txt", "Seen from the other tab as well. " * 5))
        expect(other.get_by_text(re.compile("1 document ·"))).to_be_visible(timeout=20_000)


def test_a_collection_is_deleted_with_all_that_is_in_it(page: Page, collection: str) -> None:
    upload(page, text_file("gone.txt", "This goes with its collection. " * 5))
    expect(page.get_by_text("· 1 ready")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Collection", exact=True).click()
    page.get_by_test_id("stMenuButtonOption").filter(has_text="Delete").or_(
        page.get_by_role("menuitem", name="Delete")
    ).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 document")).to_be_visible()
    dialog.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text(f"{collection} was deleted")).to_be_visible()
