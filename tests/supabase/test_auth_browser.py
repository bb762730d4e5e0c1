"""AUTH=supabase in Chromium: the whole app before a real Auth server, which is Supabase's small one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect

from rag.auth.project_door import ProjectDoor
from rag.auth.secret_tokens import installation_key
from rag.auth.supabase_auth import AuthProject
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.browser.people import ADA, ADAS, BEN, BENS, expect_ended, expect_inside, fill_in, sign_out
from tests.integration.webapp import WebApp, running_app
from tests.supabase.auth_server import AuthServer, auth_server
from tests.supabase.github_stand_in import github

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore")]

CY, DEE = "cy@example.org", "dee@example.org"
NEW = "seventeen tall giraffes"


@dataclass
class Team:
    """An app whose people have accounts at this Auth server. Its tests go through it in their order."""

    app: WebApp
    server: AuthServer

    @property
    def database(self) -> Database:
        return self.app.database

    @property
    def door(self) -> ProjectDoor:
        """The same door as the app's, with its key."""
        settings = self.app.settings
        return ProjectDoor(self.database, settings, installation_key(settings), AuthProject.of(settings))


@pytest.fixture(scope="module")
def team(browser: Browser, module_database: Database) -> Iterator[Team]:
    with module_database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with (
        github(Cy=(CY, True), Dee=(DEE, False)) as provider,
        auth_server(provider=provider) as server,
        running_app(
            module_database,
            auth="supabase",
            supabase_url=server.address,
            supabase_publishable_key=server.key,
            supabase_oauth="github",
        ) as app,
    ):
        yield Team(app, server)


@contextlib.contextmanager
def tab_of(browser: Browser, team: Team) -> Iterator[Page]:
    context = browser.new_context(base_url=team.app.address, viewport={"width": 1360, "height": 860})
    context.set_default_timeout(45_000)
    try:
        yield context.new_page()
    finally:
        context.close()


def invite(team: Team, email: str) -> None:
    with team.database.as_accounts() as conn:
        conn.execute(
            "insert into corpuscope.invitations (token_hash, email, invited_by)"
            " select sha256(convert_to(%s, 'UTF8')), %s, user_id from corpuscope.people where is_administrator limit 1",
            [email, email],
        )


def session_of(team: Team, email: str) -> UUID:
    """The latest of somebody's that stands."""
    with team.database.as_accounts() as conn:
        row = conn.execute(
            "select s.id from corpuscope.sessions s join corpuscope.people p using (user_id)"
            " where p.email = %s and ended_at is null order by s.created_at desc limit 1",
            [email],
        ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def type_code(tab: Page, team: Team, email: str, *, number: int) -> None:
    expect(tab.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    tab.get_by_label("Code").fill(team.server.code_for(email, number=number))
    tab.get_by_role("button", name="Continue").click()


def kept_in(tab: Page) -> str:
    """Everything that the browser has: cookies, and what scripts can store."""
    stored = tab.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    return str(stored) + json.dumps(tab.context.cookies())


def test_the_first_person_makes_an_account_and_stays_signed_in(browser: Browser, team: Team) -> None:
    with team.database.as_user(LOCAL_USER) as conn:
        conn.execute("select public.create_collection('From before')")
    with tab_of(browser, team) as tab:
        tab.goto("/search?q=pump")
        expect(tab.get_by_text("Whoever signs in first becomes the administrator")).to_be_visible()
        tab.get_by_role("link", name="Make an account").click()
        tab.get_by_label("E-mail address").fill(ADA)
        tab.get_by_label("Your name").fill("Ada")
        tab.get_by_label("Password").fill(ADAS)
        tab.get_by_role("button", name="Make the account").click()
        tab.get_by_label("Code").fill("000000")
        tab.get_by_role("button", name="Continue").click()
        expect(tab.get_by_role("alert")).to_contain_text("This code is wrong")
        type_code(tab, team, ADA, number=1)
        expect_inside(tab, "Ada")
        assert tab.url.endswith("/search?q=pump")
        for _ in range(2):
            tab.reload()
            expect_inside(tab, "Ada")
        assert "eyJ" not in kept_in(tab), "no token of the project's in the browser"
        tab.goto("/documents")
        expect(tab.get_by_text("From before").first).to_be_visible()
    with team.database.as_accounts() as conn:
        rows = conn.execute("select user_id, email, is_administrator, subject from corpuscope.people").fetchall()
    assert len(rows) == 1
    user_id, email, is_administrator, subject = rows[0]
    assert (email, is_administrator, subject) == (ADA, True, str(user_id))
    assert user_id != LOCAL_USER, "the id is the project's"


def test_signing_out_ends_the_session_at_the_project_too(browser: Browser, team: Team) -> None:
    with tab_of(browser, team) as tab:
        tab.goto("/documents")
        fill_in(tab, ADA, "a wrong password")
        expect(tab.get_by_role("alert")).to_contain_text("The e-mail address or the password is wrong.")
        fill_in(tab, ADA, ADAS)
        expect_inside(tab, "Ada")
        tokens = team.door.sessions.tokens_of(session_of(team, ADA))
        assert tokens is not None
        sign_out(tab)
        tab.goto("/documents")
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    with pytest.raises(Exception, match="has ended at the Supabase project"):
        team.door.project.renew(tokens, lambda new: None)


def test_a_code_lets_in_who_was_invited_and_nobody_else(browser: Browser, team: Team) -> None:
    with tab_of(browser, team) as tab:

        def ask() -> None:
            tab.goto("/documents")
            tab.get_by_label("E-mail address").fill(BEN)
            tab.get_by_role("button", name="Send me a code instead").click()
            expect(tab.get_by_text(f"If {BEN} may come in, a message is on its way")).to_be_visible()

        ask()
        assert team.server.messages_to(BEN) == 0, "the project doesn't fill with accounts that may not come in"
        invite(team, BEN)
        ask()
        type_code(tab, team, BEN, number=1)
        expect_inside(tab, BEN)
        sign_out(tab)


def test_a_forgotten_password_is_chosen_anew_by_a_code(browser: Browser, team: Team) -> None:
    """Ben came by a code, so that this is his first password."""
    with tab_of(browser, team) as other, tab_of(browser, team) as tab:
        other.goto("/documents")
        other.get_by_label("E-mail address").fill(BEN)
        other.get_by_role("button", name="Send me a code instead").click()
        type_code(other, team, BEN, number=2)
        expect_inside(other, BEN)
        tab.goto("/sign-in")
        tab.get_by_role("link", name="Forgot your password?").click()
        tab.get_by_label("E-mail address").fill(BEN)
        tab.get_by_role("button", name="Send the code").click()
        type_code(tab, team, BEN, number=3)
        tab.get_by_role("textbox", name="Password").fill("short")
        tab.get_by_role("button", name="Set the password").click()
        expect(tab.get_by_role("alert")).to_be_visible()
        tab.get_by_role("textbox", name="Password").fill(BENS)
        tab.get_by_role("button", name="Set the password").click()
        expect(tab.get_by_text("Your new password is set")).to_be_visible()
        expect_ended(other)
        fill_in(tab, BEN, BENS)
        expect_inside(tab, BEN)
        tab.goto("/reset")
        expect(tab.get_by_role("heading", name="Choose a new password")).to_be_visible()
        expect(tab.get_by_role("button", name="Send the code")).to_be_visible()  # a recovery is good once


def test_a_password_is_changed_on_the_account_page(browser: Browser, team: Team) -> None:
    with tab_of(browser, team) as tab:
        tab.goto("/account")
        fill_in(tab, BEN, BENS)
        expect_inside(tab, BEN)
        for old, new, answer in [
            ("not this one at all", NEW, "The present password is wrong."),
            (BENS, NEW, "Your password was changed."),
        ]:
            tab.get_by_label("Present password").fill(old)
            tab.get_by_label("New password", exact=True).fill(new)
            tab.get_by_label("New password again").fill(new)
            tab.get_by_role("button", name="Change password").click()
            expect(tab.get_by_text(answer)).to_be_visible()
        make_due(team, BEN)
        tab.reload()
        expect_inside(tab, BEN)
    assert team.door.project.sign_in(BEN, NEW).user.email == BEN


def test_with_a_provider_by_pkce(browser: Browser, team: Team) -> None:
    invite(team, CY)
    answers: list[str] = []
    with tab_of(browser, team) as tab:
        tab.on("request", lambda request: answers.append(request.url) if "callback?code=" in request.url else None)
        tab.goto("/search?q=valve")
        tab.get_by_role("link", name="Continue with GitHub").click()
        with team.database.as_accounts() as conn:
            states = conn.execute("select state from corpuscope.sign_in_flows").fetchall()
        assert states
        assert all(b"verifier" not in bytes(state) for (state,) in states), "sealed"
        tab.get_by_role("link", name="Cy").click()
        expect_inside(tab, "Cy")
        assert tab.url.endswith("/search?q=valve")
        tab.reload()
        expect_inside(tab, "Cy")
    ours = next(url for url in answers if url.startswith(team.app.address))
    with tab_of(browser, team) as other:
        other.goto(ours)
        expect(other.get_by_role("alert")).to_contain_text("begun in another browser, or used already")
        other.goto("/documents")
        other.get_by_role("link", name="Continue with GitHub").click()
        other.goto(ours)
        expect(other.get_by_role("alert")).to_be_visible()
        other.goto("/documents")
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()


def test_who_may_not_come_in_or_turns_back_is_told_so(browser: Browser, team: Team) -> None:
    with tab_of(browser, team) as tab:
        tab.goto("/documents")
        tab.get_by_role("link", name="Continue with GitHub").click()
        tab.get_by_role("link", name="Deny").click()
        expect(tab.get_by_role("alert")).to_contain_text("was not completed")
        tab.get_by_role("link", name="Continue with GitHub").click()
        tab.get_by_role("link", name="Dee").click()
        expect(tab.get_by_role("alert")).to_be_visible()
        tab.goto("/documents")
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()


def make_due(team: Team, email: str) -> None:
    """As if the access token were about to end."""
    with team.database.as_accounts() as conn:
        conn.execute(
            "update corpuscope.project_sessions set renew_at = now() where session_id = %s", [session_of(team, email)]
        )


def test_near_its_end_the_token_is_renewed_and_the_page_goes_on(browser: Browser, team: Team) -> None:
    with tab_of(browser, team) as tab:
        tab.goto("/documents")
        fill_in(tab, BEN, NEW)
        expect_inside(tab, BEN)
        session = session_of(team, BEN)
        before = team.door.sessions.tokens_of(session)
        make_due(team, BEN)
        tab.reload()
        expect_inside(tab, BEN)
        after = team.door.sessions.tokens_of(session)
        assert before is not None
        assert after is not None
        assert before.refresh != after.refresh
        team.door.project.sign_out(after, "global")
        make_due(team, BEN)
        # A page without anything that moves looks every fifteen seconds.
        expect(tab.get_by_text("Your session has ended")).to_be_visible(timeout=40_000)
        expect_ended(tab)
        expect(tab.get_by_text("the Supabase project ended it")).to_be_visible()


def test_no_secret_is_in_a_log(team: Team) -> None:
    logs = [*Path(team.app.settings.corpuscope_home).rglob("*.log"), team.app.log]
    text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    assert text
    for secret in ("eyJ", "code=", team.server.jwt_secret, ADAS, BENS, NEW):
        assert secret not in text, secret


def rows(team: Team, query: str) -> list[tuple[Any, ...]]:
    with team.database.as_owner() as conn:
        return conn.execute(query.encode()).fetchall()


def test_the_database_has_no_token_to_read(team: Team) -> None:
    kept = rows(team, "select tokens from corpuscope.project_sessions")
    assert kept, "somebody is signed in still"
    assert not [value for (value,) in kept if b"eyJ" in bytes(value)]
    ended = rows(
        team,
        "select 1 from corpuscope.project_sessions t join corpuscope.sessions s on s.id = t.session_id"
        " where s.ended_at is not null",
    )
    assert not ended, "what ended has no tokens any more"
