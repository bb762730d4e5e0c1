"""The map in Chromium with software WebGL: what it fetches, when it is drawn, what a lasso and a colour cost.

Beside it the same points as a Plotly figure. Synthetic maps, written past the triggers.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.bench_lab import ROOT, _chromium
from benchmarks.bench_lab import running_app as running_product
from benchmarks.map_corpus import DrawnCorpus, draw_corpus
from rag.mapping.payload import encode_points, points_version
from rag.store.bootstrap import LOCAL_USER
from rag.store.database import Database, open_embedded
from rag.store.postgres import EmbeddedPostgres

POINTS = 250_000
MANY = 1_000_000
DRAWN_S = 3.0
PANEL_S = 1.0
_ROUNDS = 3
_FIXED = 256
_PATIENCE_MS = 60_000

Row = dict[str, Any]
Report = Callable[[Row], None]
#: Painted once more, after all that was asked for before.
_PAINTED = (
    "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
)


def run(report: Report, points: int = POINTS, many: int = MANY) -> None:
    """About two minutes; without Chromium the rows of the server alone."""
    with tempfile.TemporaryDirectory(prefix="corpuscope-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        with (
            EmbeddedPostgres(home) as server,
            open_embedded(server) as database,
            psycopg.connect(server.dsn("supabase_admin"), autocommit=True) as admin,
        ):
            small = draw_corpus(admin, database, "Map", points, texts=True)
            large = draw_corpus(admin, database, "Large map", many, texts=False)
            admin.execute("vacuum analyze")
            measure_payload(report, database, small, points)
            measure_payload(report, database, large, many)
        if _chromium() is None:
            report({"name": "drawing a map: Chromium is not installed", "ok": None})
            return
        with chromium() as browser:
            with staged(home) as address:
                own = measure_drawing(report, browser, f"{address}/?map={small.map}", points)
                measure_many(report, browser, f"{address}/?map={large.map}", many)
                measure_plotly(report, browser, f"{address}/?map={small.map}&as=plotly", points, own)
            with running_product(home) as address:
                measure_page(report, browser, f"{address}/explore?collection={small.collection}", points)


def measure_payload(report: Report, database: Database, drawn: DrawnCorpus, points: int) -> None:
    """Bytes, and the seconds that a request takes on the server."""
    with database.as_user(LOCAL_USER, limit_s=60) as conn:
        begun = time.perf_counter()
        points_version(conn, drawn.map)
        payload = encode_points(conn, drawn.map)
        zipped = gzip.compress(payload, 1)
        took = time.perf_counter() - begun
    header = _header(payload)
    name = f"payload of {points:,} points, bytes a point without the header"
    report({"name": name, "value": (len(payload) - header) / points, "unit": "bytes", "target": "<= 8"})
    report({"name": "of this the header", "value": float(header), "unit": "bytes", "target": f"<= {_FIXED}"})
    report({"name": "on the wire, zipped", "value": round(len(zipped) / 1e6, 2), "unit": "MB"})
    report({"name": "made by the server in", "value": round(took, 2), "unit": "s"})


def _header(payload: bytes) -> int:
    return 12 + int.from_bytes(payload[8:12], "little")


def measure_drawing(report: Report, browser: Browser, address: str, points: int) -> float:
    """From opening the page in a fresh tab, which it returns; then other colours, a highlight and a lasso."""
    opened: list[float] = []
    rows: list[Row] = []
    for number in range(_ROUNDS):
        with tab(browser) as page:
            asked = _note_requests(page)
            opened.append(_open_map(page, address))
            if number == _ROUNDS - 1:
                rows = _measure_acts(page, asked)
    first = f"{points:,} points, from opening the page to drawn"
    report({"name": first, "value": _median(opened), "unit": "s", "target": f"<= {DRAWN_S}"})
    for row in rows:
        report(row)
    return _median(opened)


def _note_requests(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def _measure_acts(page: Page, asked: list[str]) -> list[Row]:
    cost = float(page.locator(".cs-map").get_attribute("data-cost") or 0)
    recolours = [_toggle(page, "recolour") for _ in range(4)]
    highlights = [_toggle(page, "highlight") for _ in range(2)]
    lassos = [_lasso(page, "polygon from", 40 * number) for number in range(3)]
    again = sum("/points" in address for address in asked) - 1
    return [
        {"name": "of this one drawing of all points by software", "value": cost, "unit": "ms"},
        {"name": "another colouring, click to painted", "value": _median(recolours), "unit": "s"},
        {"name": "a highlight, click to painted", "value": _median(highlights), "unit": "s"},
        {
            "name": "a lasso, release to Python's answer on the page",
            "value": _median(lassos),
            "unit": "s",
            "target": "<= 1",
        },
        {"name": "points fetched again by all that", "value": float(again), "unit": "times", "target": "<= 0"},
    ]


def measure_many(report: Report, browser: Browser, address: str, points: int) -> None:
    """As many as are demonstrated, once."""
    with tab(browser) as page:
        opened = _open_map(page, address)
        lasso = _lasso(page, "polygon from", 0)
        cost = float(page.locator(".cs-map").get_attribute("data-cost") or 0)
    report({"name": f"{points:,} points, from opening the page to drawn", "value": round(opened, 2), "unit": "s"})
    report({"name": "of this one drawing of all points by software", "value": cost, "unit": "ms"})
    report({"name": "a lasso there, release to Python's answer", "value": round(lasso, 2), "unit": "s"})


def measure_plotly(report: Report, browser: Browser, address: str, points: int, own: float) -> None:
    """The same points by ``st.plotly_chart``: what goes over the socket, and when they are painted."""
    with tab(browser) as page:
        received = [0]
        page.on("websocket", lambda socket: socket.on("framereceived", lambda data: _add(received, data)))
        begun = time.perf_counter()
        page.goto(address)
        page.wait_for_function(
            "() => document.querySelector('.js-plotly-plot')?.calcdata && document.querySelector('.gl-canvas')",
            timeout=_PATIENCE_MS,
        )
        page.evaluate(_PAINTED)
        took = time.perf_counter() - begun
        lasso = _lasso_of_plotly(page)
    name = f"the map over a Plotly figure of the same {points:,} points, opening to drawn"
    report({"name": name, "value": round(took, 2), "unit": "s (Plotly)", "ratio": round(own / took, 2)})
    report({"name": "what Plotly's page received", "value": round(received[0] / 1e6, 1), "unit": "MB"})
    report({"name": "a lasso on Plotly's figure, release to Python's answer", "value": round(lasso, 2), "unit": "s"})


def _lasso_of_plotly(page: Page) -> float:
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return _drag(page, middle, box["height"] / 4, "selected", modifier=None)


def _add(received: list[int], data: str | bytes) -> None:
    received[0] += len(data)


def measure_page(report: Report, browser: Browser, address: str, points: int) -> None:
    """The product's own page Explore: drawn, and a lasso until its panel says what was selected."""
    with tab(browser) as page:
        opened = _open_map(page, address)
        name = f"the page Explore with {points:,} points, from opening to drawn"
        report({"name": name, "value": round(opened, 2), "unit": "s"})
        page.wait_for_timeout(2000)
        panel = [_lasso(page, r"\d[\d,]* passages?", 60 * number) for number in range(_ROUNDS)]
    name = f"a lasso among {points:,} points, release to its panel"
    report({"name": name, "value": _median(panel), "unit": "s", "target": f"<= {PANEL_S}"})


def _open_map(page: Page, address: str) -> float:
    begun = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".cs-map[data-state=drawn]", timeout=_PATIENCE_MS)
    return time.perf_counter() - begun


def _toggle(page: Page, name: str) -> float:
    """A click on a checkbox until the map was drawn with it."""
    box = page.get_by_test_id("stCheckbox").filter(has_text=name).locator("label")
    before = int(page.locator(".cs-map").get_attribute("data-drawings") or 0)
    begun = time.perf_counter()
    box.click()
    page.wait_for_function(
        "before => Number(deep('.cs-map').dataset.drawings) > before",
        arg=before,
        timeout=_PATIENCE_MS,
    )
    page.evaluate(_PAINTED)
    return time.perf_counter() - begun


def _lasso(page: Page, words: str, shift: float) -> float:
    """Shift and drag around the middle of the map; seconds from the release until new ``words`` are on the page."""
    box = page.locator(".stage").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2 + shift, box["y"] + box["height"] / 2)
    return _drag(page, middle, box["height"] / 4, words, modifier="Shift")


def _drag(page: Page, middle: tuple[float, float], reach: float, words: str, *, modifier: str | None) -> float:
    page.mouse.move(middle[0] - reach, middle[1])
    if modifier:
        page.keyboard.down(modifier)
    page.mouse.down()
    for right, down in ((0, -1), (1, 0), (0, 1), (-0.9, 0.1)):
        page.mouse.move(middle[0] + right * reach, middle[1] + down * reach, steps=6)
    before = page.inner_text("body")
    begun = time.perf_counter()
    page.mouse.up()
    if modifier:
        page.keyboard.up(modifier)
    page.wait_for_function(
        "([words, before]) => [...document.body.innerText.matchAll(new RegExp(words + '.*', 'g'))]"
        ".some(([said]) => !before.includes(said))",
        arg=[words, before],
        polling=20,
        timeout=_PATIENCE_MS,
    )
    return time.perf_counter() - begun


def _median(times: list[float]) -> float:
    return round(statistics.median(times), 2)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=_chromium(), args=flags)
        yield browser
        browser.close()


@contextlib.contextmanager
def tab(browser: Browser) -> Iterator[Page]:
    """A fresh one, with nothing in its cache."""
    context = browser.new_context(viewport={"width": 1360, "height": 860})
    context.add_init_script(_DEEP)
    yield context.new_page()
    context.close()


#: Components live in shadow roots.
_DEEP = """
window.deep = (selector, root = document) => root.querySelector(selector)
  ?? [...root.querySelectorAll("*")].filter((e) => e.shadowRoot).map((e) => deep(selector, e.shadowRoot)).find(Boolean)
"""


@contextlib.contextmanager
def staged(home: Path) -> Iterator[str]:
    """The page of :mod:`benchmarks.explore_stage` over that home; its address once its database is open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "server.port": str(port),
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(ROOT / "benchmarks" / "explore_stage.py"), *flags],
        cwd=ROOT,
        env=os.environ | {"CORPUSCOPE_HOME": str(home), "AUTH": "none"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while _status(f"{address}/api/maps/0/points") != 404:
            if time.monotonic() > deadline:
                raise RuntimeError("the stage of the map did not open its database within 60 s")
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


if __name__ == "__main__":
    run(print, *map(int, sys.argv[1:]))
