"""The map alone on a page: hover, lasso, click, keys; and that points are fetched once, whatever their colours."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.browser.acting import settled
from tests.browser.conftest import ROOT, environment
from tests.conftest import temporary_home
from tests.integration.door import make_collection
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import add_document

pytestmark = pytest.mark.browser

POINTS = 64
EXTENT = 65_535


@pytest.fixture(scope="module")
def stage(module_database: Database, browser: Browser) -> Iterator[str]:
    """The address of a page with a map of 64 points, each a thousand units from the next."""
    collection = make_collection(module_database, LOCAL_USER)
    texts = [f"chunk {number} is about {'needles' if number % 2 else 'hay'}" for number in range(POINTS)]
    add_document(
        module_database, collection, texts, vectors=[[1.0, 0.01 * n, 0.0, 0.0] for n in range(POINTS)], index=False
    )
    drawn = draw_map(module_database, collection, LOCAL_USER)
    with temporary_home() as home, serving(home, module_database.owner_dsn) as address:
        yield f"{address}/?map={drawn.id}"


@contextlib.contextmanager
def serving(home: Path, dsn: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--browser.gatherUsageStats", "false"]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "tests" / "browser" / "map_stage.py"), *options],
        cwd=ROOT,
        env=environment(home, port) | {"DATABASE_URL": dsn, "AUTH": "none"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        # Until its database is open it would be asked twice.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None and _status(f"{address}/api/maps/0/points") != 404:
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _status(address: str) -> int:
    try:
        return httpx.get(address, timeout=5).status_code
    except httpx.HTTPError:
        return 0


class Stage:
    """The page, and where a place of the map lies on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.map = page.locator(".cs-map")
        self.asked: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url.partition("/api/maps/")[2]))

    def open(self, address: str) -> None:
        self.page.goto(address)
        expect(self.map).to_have_attribute("data-state", "drawn", timeout=60_000)
        settled(self.page)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of the page; the view is that of the latest drawing."""
        box = self.page.locator(".stage").bounding_box()
        view = self.map.get_attribute("data-view")
        assert box
        assert view
        middle_x, middle_y, zoom = map(float, view.split())
        scale = min(box["width"], box["height"]) * 0.92 / EXTENT * zoom
        left = box["x"] + box["width"] / 2 + (x - middle_x) * scale
        return left, box["y"] + box["height"] / 2 - (y - middle_y) * scale

    def place(self, place: int) -> tuple[float, float]:
        return self.at(place % 32 * 1000, place // 32 * 1000)

    def said(self) -> dict[str, Any]:
        """What Python was told."""
        found: dict[str, Any] = json.loads(self.page.get_by_test_id("stCode").inner_text())
        return found

    def wait_for(self, name: str) -> Any:
        """What it was told under this name, once there is something."""
        expect(self.page.get_by_test_id("stCode")).not_to_contain_text(f'"{name}": null')
        return self.said()[name]

    def toggle(self, name: str) -> None:
        self.page.get_by_test_id("stCheckbox").filter(has_text=name).locator("label").click()
        settled(self.page)


@pytest.fixture
def opened(browser: Browser, stage: str) -> Iterator[Stage]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = Stage(context.new_page())
    made.open(stage)
    yield made
    context.close()


def test_a_map_is_looked_at_selected_from_and_recoloured_with_its_points_fetched_once(opened: Stage) -> None:
    page = opened.page
    expect(opened.map).to_have_attribute("data-points", str(POINTS))

    page.mouse.move(*opened.place(5))
    expect(page.locator(".card")).to_contain_text("chunk 5 is about needles")

    # A lasso around the places 8 to 15 and 40 to 47.
    page.mouse.move(*opened.at(7_500, 1_900))
    page.keyboard.down("Shift")
    page.mouse.down()
    for corner in ((15_500, 1_900), (15_500, -300), (7_500, -300), (7_500, 1_500)):
        page.mouse.move(*opened.at(*corner), steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    polygon = opened.wait_for("polygon")
    across, down = zip(*polygon, strict=True)
    assert 7_000 < min(across) < 8_000 < 15_000 < max(across) < 16_000
    assert (min(down), max(down) // 500) == (0, 3)

    page.mouse.move(*opened.at(20_500, 1_500))
    page.mouse.wheel(0, -400)
    zoomed = opened.wait_for("view")
    assert zoomed[2] > 1.5

    before = len(opened.asked)
    for name in ("channel", "hide", "dim", "contours", "marks"):
        opened.toggle(name)
    page.wait_for_timeout(500)
    asked = [path for path in opened.asked[before:] if path]
    assert [path.partition("?")[0].partition("/")[2] for path in asked] == ["channel/excluded", "channel/text"]
    assert sum("/points" in path for path in opened.asked) == 1
    assert opened.said()["polygon"] == polygon
    shown = [float(part) for part in (opened.map.get_attribute("data-view") or "").split()]
    assert shown == pytest.approx(zoomed, rel=0.01)

    # Place 20 is of the hidden colour: the nearest that is drawn is beyond reach.
    opened.toggle("channel")
    page.mouse.click(*opened.place(20))
    page.mouse.click(*opened.place(21))
    assert opened.wait_for("clicked") == 21

    page.locator(".stage").focus()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stCode")).to_contain_text('"polygon": []')
    page.keyboard.press("Home")
    expect(opened.map).to_have_attribute("data-view", "32768 32768 1")


def test_without_webgl_the_map_says_so_and_leads_to_the_table(browser: Browser, stage: str) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.add_init_script(
        "HTMLCanvasElement.prototype.getContext = new Proxy("
        "HTMLCanvasElement.prototype.getContext, {apply: (real, canvas, given) =>"
        " given[0] === 'webgl2' ? null : Reflect.apply(real, canvas, given)})"
    )
    page = context.new_page()
    page.goto(stage)
    expect(page.locator(".notice")).to_contain_text("can't draw the map")
    page.get_by_role("button", name="Go to the table that says the same").click()
    expect(page.locator(".st-key-twin")).to_be_in_viewport()
    context.close()
