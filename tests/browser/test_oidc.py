"""Two people on one installation with AUTH=oidc, against a real OpenID provider for tests."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.records import LOCAL_USER
from tests.browser.conftest import Running, running_product
from tests.browser.people import ADA, BEN, database_of, expect_ended, expect_inside, sign_out
from tests.folders import temporary_folder
from tests.integration.door import invite, make_collection

with warnings.catch_warnings(record=True):
    # A part of it is about to be renamed; that is said at its import, and no matter of ours.
    import oidc_provider_mock

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

CLIENT_SECRET = "canary-of-the-client-7f3a"
EXPIRES = timedelta(minutes=10)


@dataclass
class Installation:
    """A product that asks this provider."""

    product: Running
    home: Path
    output: Path


@pytest.fixture(scope="module")
def installation(browser: Browser) -> Iterator[Installation]:
    people = [
        oidc_provider_mock.User(sub="ada", claims={"email": ADA, "email_verified": True, "name": "Ada"}),
        oidc_provider_mock.User(sub="ben", claims={"email": BEN, "email_verified": True, "name": "Ben"}),
        oidc_provider_mock.User(sub="cy", claims={"email": "cy@example.org", "email_verified": True, "name": "Cy"}),
        oidc_provider_mock.User(sub="dee", claims={"email": ADA, "email_verified": False, "name": "Dee"}),
    ]
    provider = oidc_provider_mock.run_server_in_thread(user_claims=people, access_token_max_age=EXPIRES)
    with (
        temporary_folder() as folder,
        provider as server,
    ):
        home = folder / "home"
        settings = {
            "AUTH": "oidc",
            "OIDC_METADATA_URL": f"http://localhost:{server.server_port}/.well-known/openid-configuration",
            "OIDC_CLIENT_ID": "corpuscope",
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_LABEL": "Example Ltd",
            "CORPUSCOPE_WORKERS": "0",
        }
        with running_product(home, **settings) as product:  # type: ignore[arg-type]
            yield Installation(product, home, home.parent / "output.log")


@contextlib.contextmanager
def tab_of(browser: Browser, installation: Installation) -> Iterator[Page]:
    context = browser.new_context(base_url=installation.product.address)
    context.set_default_timeout(45_000)
    try:
        yield context.new_page()
    finally:
        context.close()


def continue_as(tab: Page, who: str) -> None:
    """By the button of the sign-in, and then by a click on a name at the provider."""
    tab.get_by_role("link", name="Continue with Example Ltd").click()
    tab.get_by_role("button", name=who, exact=True).click()


def session_cookie(tab: Page) -> Any:
    return next((cookie for cookie in tab.context.cookies() if cookie.get("name") == "corpuscope_session"), None)


def test_the_first_person_runs_it_and_comes_back_to_the_deep_link(browser: Browser, installation: Installation) -> None:
    with tab_of(browser, installation) as tab:
        tab.goto("/search?q=pump")
        expect(tab.get_by_text("Whoever signs in first becomes the administrator")).to_be_visible()
        continue_as(tab, "ada")
        expect_inside(tab, "Ada")
        expect(tab).to_have_url(re.compile(r"/search\?q=pump$"))
        tab.reload()
        expect_inside(tab, "Ada")
        names = {cookie.get("name") for cookie in tab.context.cookies()}
        assert "corpuscope_session" in names
        assert not [name for name in names if name and name.startswith("_streamlit_user")], "no token in the browser"
    with database_of(installation.product) as database, database.as_accounts() as conn:
        rows = conn.execute("select user_id, is_administrator, subject from corpuscope.people where email = %s", [ADA])
        assert rows.fetchall() == [(LOCAL_USER, True, "ada")]


def test_the_session_lasts_as_long_as_the_provider_says(browser: Browser, installation: Installation) -> None:
    with tab_of(browser, installation) as tab:
        tab.goto("/documents")
        continue_as(tab, "ada")
        expect_inside(tab, "Ada")
        with database_of(installation.product) as database, database.as_accounts() as conn:
            row = conn.execute(
                "select expires_at - now() between %s and %s from corpuscope.sessions order by created_at desc limit 1",
                [EXPIRES - timedelta(minutes=2), EXPIRES],
            ).fetchone()
            assert row == (True,)
            conn.execute("update corpuscope.sessions set expires_at = now()")
        expect_ended(tab)
        tab.reload()
        expect(tab.get_by_role("link", name="Continue with Example Ltd")).to_be_visible()


def test_somebody_without_invitation_is_refused_in_words(browser: Browser, installation: Installation) -> None:
    with tab_of(browser, installation) as tab:
        tab.goto("/documents")
        continue_as(tab, "ben")
        expect(tab.get_by_role("alert")).to_contain_text("You have no account here.")
        expect(tab.get_by_role("alert")).to_contain_text("Ask an administrator")
        assert "code=" not in tab.url
        assert session_cookie(tab) is None
        tab.goto("/documents")
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_address_that_the_provider_did_not_check_opens_nobodys_account(
    browser: Browser, installation: Installation
) -> None:
    """Dee says that she has Ada's address."""
    with tab_of(browser, installation) as tab:
        tab.goto("/documents")
        continue_as(tab, "dee")
        expect(tab.get_by_role("alert")).to_contain_text("doesn't confirm your e-mail address")
        assert session_cookie(tab) is None


def test_with_an_invitation_for_the_address_they_come_in(browser: Browser, installation: Installation) -> None:
    with database_of(installation.product) as database:
        collection = make_collection(database, LOCAL_USER, "Valves")
        invite(database, BEN, collection_id=collection, role="viewer")
    with tab_of(browser, installation) as tab:
        tab.goto("/documents")
        continue_as(tab, "ben")
        expect_inside(tab, "Ben")
        expect(tab.get_by_text("Valves").first).to_be_visible()
        sign_out(tab)


def test_with_the_link_of_an_invitation_they_come_in(browser: Browser, installation: Installation) -> None:
    with database_of(installation.product) as database:
        collection = make_collection(database, LOCAL_USER, "Lakes")
        token = invite(database, collection_id=collection, role="editor")
    with tab_of(browser, installation) as tab:
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"/join#{token}")
        expect(tab.get_by_text("the collection Lakes")).to_be_visible()
        continue_as(tab, "cy")
        expect_inside(tab, "Cy")
        expect(tab.get_by_text("Lakes").first).to_be_visible()
        assert not [url for url in asked if token in url]


def test_somebody_who_turns_back_at_the_provider_is_told_so(browser: Browser, installation: Installation) -> None:
    with tab_of(browser, installation) as tab:
        tab.goto("/search")
        tab.get_by_role("link", name="Continue with Example Ltd").click()
        tab.get_by_role("button", name="Deny").click()
        expect(tab.get_by_role("alert")).to_contain_text("was not completed")
        assert session_cookie(tab) is None


def test_an_answer_is_taken_once(browser: Browser, installation: Installation) -> None:
    with tab_of(browser, installation) as tab:
        answers: list[str] = []
        tab.on(
            "request", lambda request: answers.append(request.url) if "/oauth2callback?code=" in request.url else None
        )
        tab.goto("/documents")
        continue_as(tab, "ada")
        expect_inside(tab, "Ada")
    with tab_of(browser, installation) as other:
        other.goto(answers[0])
        expect(other.get_by_role("alert")).to_contain_text("was not completed")
        assert session_cookie(other) is None


def test_no_secret_is_in_a_log(installation: Installation) -> None:
    logs = [*(installation.home / "logs").glob("*.log"), installation.output]
    assert any(log.name == "app.log" for log in logs)
    text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    assert "did not confirm a sign-in" in text, "the log is the one of this app"
    assert CLIENT_SECRET not in text
    assert "code=" not in text
    assert "eyJ" not in text, "the beginning of every token of a provider"
