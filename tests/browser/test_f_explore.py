"""A cluster is found on the map, left out of search and taken back, and the answers of a question follow."""

from __future__ import annotations

import gzip
import math
import re
import struct

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.acting import choose, settled
from tests.browser.conftest import Running, Shoot, open_tab
from tests.browser.test_d_questions import open_sample

pytestmark = pytest.mark.browser

QUESTION = "How many days of paid leave does an employee have?"
EXTENT = 65_535


class Explore:
    """The page, and where a point of its map lies on the screen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.map = page.locator(".cs-map")
        self._fetched: list[str] = []
        page.on("request", lambda one: self._fetched.append(one.url) if "/points?" in one.url else None)

    def open(self, address: str) -> None:
        self.page.goto(address)
        make = self.page.get_by_role("button", name=re.compile("Make map"))
        expect(make.or_(self.map).first).to_be_visible(timeout=60_000)
        if make.count():
            make.click()
        expect(self.map).to_have_attribute("data-state", "drawn", timeout=180_000)
        expect(self.page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=120_000)
        settled(self.page)

    def panel(self, name: str) -> Locator:
        tab = self.page.locator(".st-key-explore_panel").get_by_role("radio", name=name)
        settled(self.page)
        tab.click()
        expect(tab).to_be_checked()
        return self.page.locator(".st-key-explore-panel")

    def ask(self, question: str) -> None:
        field = self.panel("Ask").get_by_label("Question")
        field.fill(question)
        field.press("Enter")
        expect(self.hits().first).to_be_visible()
        settled(self.page)

    def hits(self) -> Locator:
        return self.page.locator(".cs-asked-in")

    def found(self) -> list[str]:
        """Chunks that come back, best first."""
        settled(self.page)
        return [one.get_attribute("data-chunk") or "" for one in self.hits().locator("[data-chunk]").all()]

    def position(self, place: int) -> tuple[int, int]:
        """x and y of a point, as the browser gets them."""
        body = self.page.request.get(self._fetched[-1]).body()
        raw = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        begin = 12 + struct.unpack("<I", raw[8:12])[0]
        places = (len(raw) - begin) // 8
        x, y = (struct.unpack_from("<H", raw, begin + 2 * (column * places + place))[0] for column in (0, 1))
        return x, y

    def lasso(self, x: float, y: float, radius: float) -> None:
        """Draw a ring around a place of the map."""
        self.map.scroll_into_view_if_needed()
        corners = [(x + radius * math.cos(n * math.pi / 5), y + radius * math.sin(n * math.pi / 5)) for n in range(10)]
        self.page.mouse.move(*self._pixel(*corners[0]))
        self.page.keyboard.down("Shift")
        self.page.mouse.down()
        for corner in corners[1:]:
            self.page.mouse.move(*self._pixel(*corner), steps=3)
        self.page.mouse.up()
        self.page.keyboard.up("Shift")

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        box, view = self.page.locator(".cs-map .stage").bounding_box(), self.map.get_attribute("data-view")
        assert box
        assert view
        middle_x, middle_y, zoom = map(float, view.split())
        scale = min(box["width"], box["height"]) * 0.92 / EXTENT * zoom
        left = box["x"] + box["width"] / 2 + (x - middle_x) * scale
        return left, box["y"] + box["height"] / 2 - (y - middle_y) * scale


@pytest.fixture
def explore(page: Page) -> Explore:
    open_sample(page)
    expect(page.get_by_text(re.compile(r"19 (documents · 19 )?ready")).first).to_be_visible(timeout=240_000)
    collection = re.search(r"collection=([0-9a-f-]{36})", page.url)
    assert collection is not None
    made = Explore(page)
    made.open(f"/explore?collection={collection.group(1)}")
    return made


def test_what_is_left_out_on_the_map_leaves_the_answers_and_returns(
    explore: Explore, browser: Browser, product: Running, shoot: Shoot
) -> None:
    page = explore.page
    choose(page, page.locator(".st-key-explore_colour input"), "Colour by cluster")
    expect(page.locator(".cs-entry").first).to_be_visible()
    choose(page, page.locator(".st-key-explore_colour input"), "Colour by document")
    expect(page.locator(".cs-entry")).to_have_count(13)
    expect(page.get_by_test_id("stToast")).to_have_count(0)
    explore.ask(QUESTION)
    before = explore.found()
    assert before
    shoot(page, "explore-light")

    first = explore.hits().first
    place = int(first.get_attribute("data-place") or "")
    explore.lasso(*explore.position(place), radius=5_000)
    panel = page.locator(".st-key-explore-panel")
    expect(panel.get_by_role("radio", name="Selection")).to_be_checked(timeout=30_000)
    expect(panel.get_by_text(re.compile(r"\d+ passages? of \d+ documents?"))).to_be_visible()
    expect(page).to_have_url(re.compile("sel=p"))
    shoot(page, "explore-selection-light")

    panel.get_by_role("button", name="Exclude").click()
    page.get_by_role("dialog").get_by_role("button", name="Exclude").click()
    expect(page.locator(".st-key-undo-bar")).to_be_visible()
    explore.panel("Ask")
    expect(explore.hits().first).to_be_visible()
    after = explore.found()
    assert before[0] not in after
    assert after != before

    log = explore.panel("Log")
    log.get_by_role("button", name="Undo").first.click()
    expect(log.get_by_role("button", name="Redo").first).to_be_visible()
    explore.panel("Ask")
    expect(explore.hits().first.locator("[data-chunk]")).to_have_attribute("data-chunk", before[0])
    assert explore.found() == before

    with open_tab(browser, product, dark=True) as night:
        again = Explore(night)
        again.open(page.url.removeprefix(product.address))
        expect(again.hits().first.locator("[data-chunk]")).to_have_attribute("data-chunk", before[0])
        shoot(night, "explore-dark")
