"""The main job on a Postgres elsewhere: an app on a host without workers, a worker on another, nothing embedded.

The database is as a hosted project's: see :mod:`tests.integration.hosts`. The steps are those of the other files.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.store.postgres import EmbeddedPostgres
from tests.browser import test_b_journey as journey
from tests.browser import test_c_uploads as uploads
from tests.browser.conftest import ROOT, Running, Shoot, environment, running_product
from tests.browser.test_c_uploads import collection
from tests.folders import temporary_folder
from tests.integration.hosts import database_elsewhere

__all__ = ["collection"]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def product(browser: Browser, server: EmbeddedPostgres) -> Iterator[Running]:
    """An app and a worker with homes of their own, as on two hosts, and the database on a third."""
    with (
        temporary_folder() as folder,
        database_elsewhere(server, "journey") as address,
    ):
        homes = folder / "app", folder / "worker"
        with (
            running_product(homes[0], DATABASE_URL=address, CORPUSCOPE_WORKERS="0") as running,
            worker_of_its_own(homes[1], address),
        ):
            yield running
        assert not running.outside, f"pages fetched from outside: {running.outside}"
        found = [path.name for home in homes for path in home.glob("postgres*")]
        assert not found, f"a server of our own was started: {found}"


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """The pictures are those of the other files."""
    return lambda page, name: None


@contextlib.contextmanager
def worker_of_its_own(home: Path, database_url: str) -> Iterator[None]:
    """`corpuscope worker` on another host."""
    running = subprocess.Popen(
        [sys.executable, "-m", "rag.cli", "worker"],
        cwd=ROOT,
        env=environment(home, 1) | {"DATABASE_URL": database_url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


def test_from_the_sample_corpus_to_a_cited_answer(page: Page, shoot: Shoot) -> None:
    journey.test_from_the_sample_corpus_to_a_cited_answer(page, shoot)
    journey.test_a_marker_in_the_answer_opens_the_quoted_words(page)


def test_what_is_left_out_and_corrected_is_so_for_search(page: Page) -> None:
    journey.test_selected_text_is_left_out_of_search_and_brought_back(page)
    journey.test_a_correction_embeds_again_and_can_be_undone(page)


def test_uploads_are_told_apart_and_seen_from_another_tab(
    browser: Browser, page: Page, product: Running, collection: str, shoot: Shoot
) -> None:
    uploads.test_a_second_tab_sees_what_the_first_uploads(browser, page, product, collection)
    page.get_by_role("button", name="Dismiss").click()
    uploads.upload(page, uploads.text_file("seen again.txt", "Seen from the other tab as well. " * 5))
    expect(page.get_by_text("1 duplicate")).to_be_visible()


def test_operations_counts_the_worker_of_the_other_host(page: Page) -> None:
    page.goto("/operations")
    expect(page.get_by_test_id("stMetric").filter(has_text="Workers")).to_contain_text("1")
    expect(page.get_by_text("Nothing was given up on")).to_be_visible()
