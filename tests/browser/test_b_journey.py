"""The main job: sample corpus, ready, search, a streamed answer, its citation at the quoted words."""

from __future__ import annotations

import re

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.acting import choose
from tests.browser.conftest import Running, Shoot, open_tab

pytestmark = pytest.mark.browser

LEAVE = "How many days of paid leave does an employee have?"


def open_chat(page: Page) -> None:
    page.goto("/chat")
    expect(page.get_by_test_id("stChatInput")).to_be_visible()


def ask(page: Page, question: str) -> None:
    box = page.get_by_test_id("stChatInput").get_by_role("textbox")
    box.fill(question)
    box.press("Enter")


def workers_of(product: Running) -> list[psutil.Process]:
    family = psutil.Process(product.process.pid).children(recursive=True)
    return [process for process in family if "worker" in process.cmdline()]


def test_from_the_sample_corpus_to_a_cited_answer(page: Page, shoot: Shoot) -> None:
    page.goto("/documents")
    page.get_by_role("button", name="Try the sample corpus").click()
    expect(page.get_by_text(re.compile(r"\d+ ready"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile(r"\d in work"))).to_have_count(0, timeout=120_000)

    page.get_by_role("link", name="Search lab", exact=True).click()
    page.get_by_placeholder("What would you like to find?").fill("days of paid leave")
    page.keyboard.press("Enter")
    results = page.locator(".st-key-results")
    expect(results.get_by_text("employee-handbook.md").first).to_be_visible()
    expect(results.locator("mark").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]q=days"))
    expect(page.get_by_text(re.compile(r"\d+ passages from \d+ documents"))).to_be_visible()

    page.get_by_role("link", name="Chat", exact=True).click()
    page.get_by_role("button", name=LEAVE).click()
    expect(page.get_by_text(re.compile("28 days of paid leave"))).to_be_visible(timeout=120_000)
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible()
    expect(page.get_by_text(re.compile("since no chat model is set up"))).to_be_visible()

    page.locator("[class*=st-key-sources-]").get_by_role("button").first.click()
    quote = page.locator(".cs-quote mark").first.inner_text()
    page.get_by_role("link", name="Open at the quote").first.click()
    focus = page.locator(".cs-focus")
    expect(focus.first).to_be_visible()
    assert " ".join("".join(focus.all_inner_texts()).split()) == " ".join(quote.split())
    expect(focus.first).to_be_in_viewport()


def test_a_marker_in_the_answer_opens_the_quoted_words(page: Page) -> None:
    open_chat(page)
    ask(page, "What does error E07 mean?")
    marker = page.get_by_role("link", name=re.compile(r"^\[\d+\]$")).first
    expect(marker).to_be_visible(timeout=120_000)
    address = marker.get_attribute("href") or ""
    page.goto(address)
    expect(page.locator(".cs-focus").first).to_be_in_viewport()


def test_an_answer_survives_a_refresh_and_nothing_is_asked_twice(page: Page, product: Running) -> None:
    workers = workers_of(product)
    assert workers
    open_chat(page)
    for worker in workers:
        worker.suspend()
    try:
        ask(page, "When must work on a mast stop because of wind?")
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
        expect(page).to_have_url(re.compile("chat="))
        page.reload()
        expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    finally:
        for worker in workers:
            worker.resume()
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)
    expect(page.get_by_test_id("stChatMessage")).to_have_count(2)


def test_an_answer_can_be_stopped_and_asked_for_again(page: Page, product: Running) -> None:
    workers = workers_of(product)
    open_chat(page)
    for worker in workers:
        worker.suspend()
    try:
        ask(page, "How much does the Osprey buoy cost?")
        page.get_by_test_id("stChatMessage").get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped before it was finished")).to_be_visible(timeout=20_000)
    finally:
        for worker in workers:
            worker.resume()
    page.get_by_role("button", name="Try again").click(timeout=120_000)
    expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)


def test_selected_text_is_left_out_of_search_and_brought_back(page: Page) -> None:
    page.goto("/search?q=error+E07&mode=Words")
    page.get_by_role("link", name="Open in the document").first.click()
    page.get_by_role("button", name=re.compile("Select chunk 1")).first.click()
    page.get_by_role("button", name="Leave out of search").click()
    expect(page.get_by_text("left out of search now")).to_be_visible()
    expect(page.locator(".cs-excluded").first).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".cs-excluded")).to_have_count(0)


def test_a_correction_embeds_again_and_can_be_undone(page: Page) -> None:
    page.goto("/search?q=error+E07&mode=Words")
    page.get_by_role("link", name="Open in the document").first.click()
    page.get_by_role("button", name="Correct").click()
    box = page.get_by_role("dialog").get_by_role("textbox")
    box.fill(box.input_value() + " Zanzibar.")
    page.get_by_role("button", name="Save correction").click()
    expect(page.get_by_text("revision 2")).to_be_visible()
    expect(page.locator(".cs-focus").last).to_contain_text("Zanzibar")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("revision 3")).to_be_visible()
    expect(page.locator(".cs-doc")).not_to_contain_text("Zanzibar")


def test_the_lab_moves_judges_compares_and_saves(page: Page, shoot: Shoot) -> None:
    page.goto("/search?q=Which+supplier+limit+was+changed+because+of+the+humidity+errors%3F")
    results = page.locator(".st-key-results")
    expect(results.locator(".cs-hit")).to_have_count(10)
    expect(page.get_by_role("img", name=re.compile("Similarity of"))).to_be_visible()
    page.locator(".st-key-k input").focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(results.locator(".cs-hit")).to_have_count(6)
    expect(page).to_have_url(re.compile("[?&]k=6"))

    thumb = results.get_by_role("button", name="This answers the question").first
    thumb.click()
    expect(results.get_by_text("Answers it", exact=True)).to_have_count(1)
    expect(thumb).to_have_attribute("aria-pressed", "true")
    expect(thumb).to_be_focused()
    results.get_by_role("button", name="Show neighbours").first.click()
    expect(results.locator(".cs-near").first).to_be_visible()

    choose(page, page.get_by_role("combobox", name=re.compile("Compare with")), "Without my changes")
    expect(page.get_by_text(re.compile("4 left, 6 stayed"))).to_be_visible()
    page.reload()
    expect(page.get_by_text(re.compile("4 left, 6 stayed"))).to_be_visible()
    shoot(page, "search-compare-light")

    page.get_by_role("button", name="Save as…").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Short")
    page.get_by_role("button", name="Save profile").click()
    page.get_by_role("button", name="Make default").click()
    expect(page.get_by_role("dialog").get_by_text("Passages (k): 6, before 10")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Make default").click()
    expect(page.get_by_text("Short v1 is the default now.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Short (default)")).to_have_count(0)


@pytest.mark.parametrize("look", ["light", "dark"])
def test_full_pages_in_both_looks(browser: Browser, product: Running, shoot: Shoot, look: str) -> None:
    with open_tab(browser, product, dark=look == "dark") as page:
        page.goto("/documents")
        expect(page.get_by_test_id("stDataFrame")).to_be_visible()
        page.wait_for_timeout(1200)
        shoot(page, f"documents-{look}")
        page.goto("/search?q=Which+supplier+limit+was+changed+because+of+the+humidity+errors%3F&threshold=0.3")
        expect(page.locator(".st-key-results mark").first).to_be_visible()
        expect(page.locator(".cs-chart")).to_be_visible()
        shoot(page, f"search-{look}")
        page.get_by_role("link", name="Open in the document").first.click()
        expect(page.locator(".cs-focus").first).to_be_visible()
        shoot(page, f"document-{look}")
        open_chat(page)
        page.get_by_role("button", name=re.compile("^How many days of paid leave")).first.click()
        expect(page.get_by_text(re.compile(r"^Complete ·"))).to_be_visible(timeout=120_000)
        shoot(page, f"chat-{look}")
        page.goto("/operations")
        expect(page.get_by_text("Nothing was given up on")).to_be_visible()
        page.wait_for_timeout(800)
        shoot(page, f"operations-{look}")
        background = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
        assert background == ("rgb(16, 21, 28)" if look == "dark" else "rgb(255, 255, 255)")


@pytest.mark.parametrize("address", ["/documents", "/search?q=paid+leave", "/chat", "/operations"])
def test_a_narrow_window_cuts_nothing_off(browser: Browser, product: Running, address: str) -> None:
    with open_tab(browser, product, width=390) as page:
        page.goto(address)
        expect(page.get_by_role("heading").first).to_be_visible()
        page.wait_for_timeout(1500)
        main = page.locator("[data-testid=stMain], [data-testid=stAppScrollToBottomContainer]").first
        assert main.evaluate("node => node.scrollWidth - node.clientWidth") <= 1
