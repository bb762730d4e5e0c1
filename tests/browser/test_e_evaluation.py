"""Two profiles are measured on a set of questions, compared, and the better one put to work: by the pages alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.acting import choose, open_section, settled
from tests.browser.conftest import Running, Shoot, open_tab
from tests.browser.test_d_questions import new_set, open_sample

pytestmark = pytest.mark.browser

TABLE = (
    "question,document,phrase,grade\n"
    "How many days of paid leave does an employee have?,employee-handbook.md,,3\n"
    "How long is the trial period?,employee-handbook.md,,2\n"
    "What does error E07 mean?,support-faq.md,,2\n"
)


def make_set(page: Page) -> None:
    """A set of three judged questions of its own, whatever other sets there are."""
    new_set(page, "Leave and errors")
    file = {"name": "leave.csv", "mimeType": "text/csv", "buffer": TABLE.encode()}
    page.locator("input[type=file]").first.set_input_files(files=file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Import 3 questions").click()
    expect(page.get_by_text("3 questions, 3 with an answer judged")).to_be_visible()


def save_profile(page: Page, name: str, query: str) -> None:
    """Begin with the settings of an address of the lab, and save them under a name."""
    collection = re.search(r"collection=([0-9a-f-]{36})", page.url)
    assert collection is not None
    page.goto(f"/search?collection={collection.group(1)}&q=paid+leave&{query}")
    settled(page)
    page.get_by_role("button", name="Save as…").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Save profile").click()
    expect(page.get_by_text(f"Saved as {name} v1")).to_be_visible()


def test_the_better_of_two_profiles_is_found_and_put_to_work(
    browser: Browser, product: Running, page: Page, shoot: Shoot
) -> None:
    open_sample(page)
    expect(page.get_by_text(re.compile(r"\d+ ready")).first).to_be_visible(timeout=200_000)
    make_set(page)
    address = page.url
    save_profile(page, "Words alone", "mode=lexical&k=4")
    save_profile(page, "Hardly anything", "mode=dense&k=1&threshold=0.95")

    page.goto(address)
    open_section(page, "Runs")
    for name in ("Words alone v1", "Hardly anything v1"):
        choose(page, page.get_by_role("combobox", name="Profiles"), name)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("Run 3 evaluations")).click()
    expect(page.get_by_text("3 runs started.")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=200_000)
    expect(page.get_by_text("Measured by document").first).to_be_visible()
    shoot(page, "evaluate-runs-light")

    open_section(page, "Compare")
    expect(page.get_by_text("Questions that changed most")).to_be_visible()
    shoot(page, "evaluate-compare-light")
    choose(page, page.get_by_role("combobox", name="Baseline"), "Hardly anything")
    choose(page, page.get_by_role("combobox", name="Compared with it"), "Words alone")
    promote = page.get_by_role("button", name=re.compile("Make Words alone v1 the default"))
    promote.click()
    page.get_by_role("button", name="Make default", exact=True).click()
    expect(page.get_by_text("Words alone v1 is the default now.")).to_be_visible()
    compared = page.url

    page.get_by_role("link", name=re.compile(r"error E07|trial period|paid leave")).first.click()
    expect(page).to_have_url(re.compile(r"/search\?.*vs_"))
    for dark in (False, True):
        with open_tab(browser, product, dark=dark) as other:
            other.goto(compared)
            expect(other.get_by_text("Questions that changed most")).to_be_visible()
            open_section(other, "Curves")
            expect(other.get_by_text(re.compile("as the profile has it"))).to_be_visible()
            shoot(other, f"evaluate-curves-{'dark' if dark else 'light'}")

    page.get_by_role("link", name="Chat", exact=True).click()
    page.get_by_placeholder(re.compile("Ask")).first.fill("How many days of paid leave does an employee have?")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"4 passages? in \d+ documents? \(lexical\)")).first).to_be_attached(
        timeout=120_000
    )
