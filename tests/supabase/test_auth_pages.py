"""The pages of the sign-in before a stand-in for the project's Auth: set-up code, redirects, what strangers try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from rag.auth.secret_tokens import installation_key, setup_code
from rag.errors import SignInUnavailable
from rag.settings import Settings
from rag.store.database import Database
from rag.web.entrance import Entrance
from rag.web.gate import SessionGate
from rag.web.site import routes
from tests.conftest import temporary_home
from tests.supabase.auth_stand_in import URL, StandInAuth, World, somebody
from tests.supabase.gateway import serving

ADA, ADAS = "ada@example.org", "correct horse battery"
PUBLIC = "https://corpus.example.org"


@dataclass
class Site:
    """A site that others can reach, and what the project behind it knows."""

    address: str
    world: World
    entrance: Entrance


@pytest.fixture
def site(database: Database) -> Iterator[Site]:
    world = World()
    with temporary_home() as home:
        settings = Settings(
            _env_file=None,
            corpuscope_home=home,
            auth="supabase",
            public_url=PUBLIC,
            supabase_url=URL,
            supabase_publishable_key="sb_publishable_x",
            supabase_oauth="github, Google",
            database_url=database.owner_dsn,
        )
        entrance = Entrance(settings, lambda: database, project=StandInAuth(world))
        app = Starlette(routes=routes(entrance), middleware=[Middleware(SessionGate, entrance=entrance)])
        with serving(SimpleNamespace(app=app)) as address:  # type: ignore[arg-type]
            yield Site(address, world, entrance)


class Browser(httpx.Client):
    """One on the site's pages. Its cookies are for https, which is another's task here: they are carried by hand."""

    def __init__(self, site: Site) -> None:
        super().__init__(base_url=site.address, headers={"Origin": PUBLIC}, timeout=30, trust_env=False)
        self.held: dict[str, str] = {}

    def ask(self, path: str, **fields: str) -> httpx.Response:
        """Open a page, or with ``fields`` post them."""
        carried = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.held.items())}
        answer = self.post(path, data=fields, headers=carried) if fields else self.get(path, headers=carried)
        for line in answer.headers.get_list("set-cookie"):
            assert "HttpOnly" in line
            assert "Secure" in line
            self.held |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return answer


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    with Browser(site) as running:
        yield running


def place(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def knows_ada(site: Site) -> None:
    ada = somebody(ADA)
    site.world.users[ada.id] = ada
    site.world.passwords[ADA] = ADAS, ada.id


def test_the_first_sign_in_takes_the_set_up_code(site: Site, browser: Browser) -> None:
    knows_ada(site)
    assert "Set-up code" in browser.ask("/sign-in").text
    refused = browser.ask("/sign-in", email=ADA, password=ADAS)
    assert (refused.status_code, "needs the set-up code" in refused.text) == (400, True)
    assert browser.ask("/sign-in/setup", code="AAAA-AAAA-AAAA-AAAA").status_code == 400
    browser.held["corpuscope_setup"] = "known"  # not signed by us
    assert browser.ask("/sign-in", email=ADA, password=ADAS).status_code == 400
    code = setup_code(installation_key(site.entrance.settings))
    assert place(browser.ask("/sign-in/setup", code=code.lower(), next="/search")) == "/sign-in?next=/search"
    assert "Set-up code" not in browser.ask("/sign-in").text
    assert place(browser.ask("/sign-in", email=ADA, password=ADAS, next="/search")) == "/search"
    assert "corpuscope_session" in browser.held


def test_a_provider_gets_a_challenge_and_the_browser_a_random_id(site: Site, browser: Browser) -> None:
    page = browser.ask("/sign-in?next=/search").text
    assert "Continue with GitHub" in page
    assert "Continue with Google" in page
    target = urlsplit(place(browser.ask("/sign-in/provider?provider=google&next=/search")))
    asked = parse_qs(target.query)
    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{URL}/auth/v1/authorize"
    assert asked["redirect_to"] == [f"{PUBLIC}/sign-in/callback"]
    assert asked["code_challenge_method"] == ["s256"]
    flow = browser.held["corpuscope_flow"]
    with site.entrance.database.as_accounts() as conn:
        (state,) = conn.execute("select state from corpuscope.sign_in_flows").fetchone() or (b"",)
    assert asked["code_challenge"][0] not in flow
    assert b"/search" not in bytes(state)
    assert place(browser.ask("/sign-in/provider?provider=evil")) == "/sign-in"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "/sign-in?done=confirmed"),
        ("?error=access_denied&error_description=<b>Hello</b>", "/sign-in?failed=provider"),
        ("?code=stolen", "/sign-in?failed=elsewhere"),
    ],
)
def test_who_comes_back_without_having_left_is_not_let_in(browser: Browser, query: str, expected: str) -> None:
    assert place(browser.ask(f"/sign-in/callback{query}")) == expected
    assert "corpuscope_session" not in browser.held
    page = browser.ask(expected)
    assert page.status_code == 200
    assert "Hello" not in page.text


def test_the_link_of_a_message_works_in_the_browser_that_asked_for_it(site: Site, browser: Browser) -> None:
    ada = somebody(ADA, administers=True)
    site.world.users[ada.id] = ada
    assert place(browser.ask("/sign-in", email=ADA, way="code", next="/search")) == "/sign-in/code"
    site.world.codes = {"first": ("a verifier", ada.id), "second": ("another verifier", ada.id)}
    with Browser(site) as other:
        assert place(other.ask("/sign-in/callback?code=first")) == "/sign-in?failed=elsewhere"
    assert place(browser.ask("/sign-in/callback?code=first")) == "/search"
    assert "corpuscope_session" in browser.held
    with Browser(site) as other:
        other.ask("/sign-in", email=ADA, way="code")
        refused = place(other.ask("/sign-in/callback?code=second"))
        assert "begun in another browser" in other.ask(refused).text
        assert "corpuscope_session" not in other.held


def test_the_link_of_a_recovery_leads_to_a_new_password(site: Site, browser: Browser) -> None:
    ada = somebody(ADA, administers=True)
    site.world.users[ada.id] = ada
    assert place(browser.ask("/forgot", email=ADA)) == "/sign-in/code"
    site.world.codes = {"once": ("a verifier", ada.id)}
    assert place(browser.ask("/sign-in/callback?code=once")) == "/reset"
    assert "corpuscope_session" not in browser.held, "it opens nothing but that page"
    assert place(browser.ask("/reset", password=ADAS)) == "/sign-in?done=reset"
    assert site.world.passwords[ADA] == (ADAS, ada.id)
    assert [scope for _, scope in site.world.signed_out] == ["global"]
    assert place(browser.ask("/reset", password="another horse battery")) == "/forgot"


def test_an_id_of_a_flow_is_good_once(site: Site, browser: Browser) -> None:
    browser.ask("/sign-in/provider?provider=github")
    before = dict(browser.held)
    assert place(browser.ask("/sign-in/callback?error=access_denied")) == "/sign-in?failed=provider"
    browser.held = before
    assert place(browser.ask("/sign-in/callback?code=mine")) == "/sign-in?failed=elsewhere"


@pytest.mark.parametrize("path", ["/sign-in/code", "/reset"])
def test_pages_of_a_flow_lead_back_without_one(browser: Browser, path: str) -> None:
    assert place(browser.ask(path)) in ("/sign-in?failed=elsewhere", "/forgot")
    assert place(browser.ask(path, code="123456", password=ADAS)) in ("/sign-in?failed=elsewhere", "/forgot")


def test_a_form_of_another_site_is_refused(site: Site, browser: Browser) -> None:
    for path in ("/sign-in", "/sign-in/setup", "/sign-in/code", "/sign-up", "/forgot", "/reset", "/guest"):
        answer = browser.post(path, data={"email": ADA}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403, path
    assert site.world.sent == []


def test_a_project_that_is_not_there_is_said_on_the_page(site: Site, browser: Browser) -> None:
    site.world.problem = SignInUnavailable("The Supabase project's Auth can't be reached.")
    for path, fields in [
        ("/sign-in", {"email": ADA, "password": ADAS}),
        ("/sign-in", {"email": ADA, "way": "code"}),
        ("/sign-up", {"email": ADA, "password": ADAS}),
    ]:
        answer = browser.ask(path, **fields)
        assert (answer.status_code, "can&#39;t be reached" in answer.text) == (400, True), path


def test_the_other_ways_are_not_there(browser: Browser) -> None:
    """Links to choose a password are an administrator's with AUTH=local; a project's people get a code."""
    assert place(browser.ask("/reset", link="https://corpus.example.org/reset#secret")) == "/forgot"
    assert browser.ask("/oauth2callback?code=x").headers.get("location") == "/sign-in"
