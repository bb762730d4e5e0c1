"""The pages of the sign-in over real HTTP: who gets in, who doesn't, and that no secret stays anywhere behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from rag.auth import invitations, sessions
from rag.auth.passwords import hash_password
from rag.auth.people import add_person
from rag.auth.secret_tokens import load_key, setup_code
from rag.records import LOCAL_USER
from rag.store.database import Database
from tests.integration.door import invite, make_collection
from tests.integration.webapp import SESSION, Browser, WebApp, goal_of, running_app, said

ADA, ADAS = "ada@example.org", "a canary of sixteen letters"
EVE, EVES = "eve@example.org", "another canary, longer than that"
PAGE_HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


@pytest.fixture(scope="module")
def app(module_database: Database) -> Iterator[WebApp]:
    """Reached by others through a proxy, so that the first account asks for the set-up code."""
    with running_app(module_database, public_url="http://corpus.example.org") as running:
        yield running


@pytest.fixture(scope="module")
def ada(app: WebApp) -> Browser:
    """The first person, signed up through the page."""
    browser = app.browser()
    code = setup_code(load_key(app.settings.corpuscope_home))
    made = browser.submit(
        "/sign-up", email=ADA, name="Ada", password=ADAS, code=code, next="/search?q=pump&collection=1"
    )
    assert goal_of(made) == "/search?q=pump&collection=1"
    return browser


def signed_in(app: WebApp, email: str = ADA, password: str = ADAS) -> Browser:
    browser = app.browser()
    assert goal_of(browser.submit("/sign-in", email=email, password=password)) == "/"
    return browser


def test_a_stranger_cannot_make_the_first_account_without_the_code(app: WebApp) -> None:
    stranger = app.browser()
    assert goal_of(stranger.get("/sign-in?next=/chat")) == "/sign-up?next=/chat"
    assert "Set-up code" in said(stranger.get("/sign-up"))
    for code in ("", "AAAA-AAAA-AAAA-AAAA"):
        refused = stranger.submit("/sign-up", email=EVE, name="Eve", password=EVES, code=code)
        assert refused.status_code == 400
        assert "set-up code is wrong" in said(refused)
        assert f'value="{EVE}"' in refused.text, "what isn't secret is kept"
        assert EVES not in refused.text
        assert stranger.session is None


def test_the_first_account_is_made_once(app: WebApp, ada: Browser) -> None:
    assert ada.get("/documents").status_code == 200
    stranger = app.browser()
    assert goal_of(stranger.get("/sign-up")) == "/sign-in"
    code = setup_code(load_key(app.settings.corpuscope_home))
    assert goal_of(stranger.submit("/sign-up", email=EVE, password=EVES, code=code)) == "/sign-in"
    assert stranger.session is None


def test_what_was_made_before_is_the_first_persons(app: WebApp, ada: Browser) -> None:
    with app.database.as_accounts() as conn:
        row = conn.execute("select user_id, is_administrator from corpuscope.people where email = %s", [ADA]).fetchone()
    assert row == (LOCAL_USER, True)


def test_our_pages_forbid_what_they_do_not_need(app: WebApp, ada: Browser) -> None:
    pages = [app.browser().get(path) for path in ("/sign-in", "/join", "/reset", "/guest")] + [ada.get("/sign-out")]
    for page in pages:
        assert page.status_code == 200
        assert PAGE_HEADERS.items() <= dict(page.headers).items()
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "style=" not in page.text
        assert "<script>" not in page.text


def test_the_cookie_is_signed_http_only_and_lax(app: WebApp, ada: Browser) -> None:
    given = app.browser().submit("/sign-in", email=ADA, password=ADAS).headers.get_list("set-cookie")
    (cookie,) = [header for header in given if header.startswith(SESSION)]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie.split("; ")[1:], "this installation is reached over http"
    age = int(cookie.partition("Max-Age=")[2].partition(";")[0])
    assert 29 * 86400 < age <= 30 * 86400


def test_wrong_passwords_and_unknown_people_are_refused_in_the_same_words(app: WebApp, ada: Browser) -> None:
    wrong = app.browser().submit("/sign-in", email=ADA, password="not the one")
    unknown = app.browser().submit("/sign-in", email="nobody@example.org", password="not the one")
    assert wrong.status_code == unknown.status_code == 400
    assert said(wrong).replace(ADA, "") == said(unknown).replace("nobody@example.org", "")
    assert "password is wrong" in said(wrong)
    assert f'value="{ADA}"' in wrong.text
    assert "not the one" not in wrong.text


@pytest.mark.parametrize(
    "goal",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%5Cevil.example",
        "/%2F/evil.example",
        "/%2Fevil.example",
        "///evil.example",
        "http:evil.example",
        "javascript:alert(1)",
        "/\tx",
        "/\r\nSet-Cookie: a=b",
        " /documents",
        "/%0d%0aSet-Cookie:%20a=b",
        "documents",
        "/sign-out",
        "/sign-in?next=/sign-in",
        "/" + "a" * 3000,
        "",
    ],
)
def test_signing_in_leads_nowhere_else(app: WebApp, ada: Browser, goal: str) -> None:
    browser = app.browser()
    there = goal_of(browser.submit("/sign-in", email=ADA, password=ADAS, next=goal))
    assert there == "/"
    # Who is signed in already is sent on at once; by the same rule.
    assert goal_of(browser.get("/sign-in", params={"next": goal})) == "/"


def test_signing_in_leads_back_to_the_deep_link(app: WebApp, ada: Browser) -> None:
    browser = app.browser()
    asked = goal_of(browser.get("/document?document=3f&start=5&text=a%20b%26c"))
    page = browser.get(asked)
    assert 'name="next" value="/document?document=3f&amp;start=5&amp;text=a%20b%26c"' in page.text
    there = browser.submit("/sign-in", email=ADA, password=ADAS, next="/document?document=3f&start=5&text=a%20b%26c")
    assert goal_of(there) == "/document?document=3f&start=5&text=a%20b%26c"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://corpus.example.org.evil.example"},
        {"Origin": "http://corpus.example.org", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-up", "/sign-out", "/join", "/reset", "/guest"])
def test_forms_of_other_sites_do_nothing(app: WebApp, ada: Browser, path: str, headers: dict[str, str]) -> None:
    browser = app.browser(ada.session)
    del browser.headers["Origin"]
    sent = {name: value for name, value in headers.items() if value}
    refused = browser.post(path, data={"email": ADA, "password": ADAS}, headers=sent)
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers
    assert browser.get("/documents").status_code == 200, "the session goes on"


def test_forms_of_our_own_address_are_taken_in_either_name(app: WebApp, ada: Browser) -> None:
    for origin in (app.address, "http://corpus.example.org"):
        browser = app.browser()
        browser.headers["Origin"] = origin
        assert browser.post("/sign-in", data={"email": ADA, "password": ADAS}).status_code == 303, origin


def test_sockets_of_our_own_address_are_taken_in_either_name(app: WebApp, ada: Browser) -> None:
    """Also by what stands behind the gate, when a proxy in between names the host differently."""
    for origin in (app.address, "http://corpus.example.org"):
        with connect(
            f"ws://{app.host}/_stcore/stream",
            origin=Origin(origin),
            additional_headers={"Cookie": f"{SESSION}={ada.session}"},
            subprotocols=[Subprotocol("streamlit")],
        ) as opened:
            assert opened.subprotocol == "streamlit", origin


def test_a_proxy_on_this_machine_says_who_calls(app: WebApp, ada: Browser) -> None:
    browser = app.browser()
    agent = "Mozilla/5.0 (Windows) Firefox/140.0"
    browser.headers.update({"X-Forwarded-For": "198.51.100.7, 203.0.113.9", "User-Agent": agent})
    browser.submit("/sign-in", email=ADA, password=ADAS)
    with app.database.as_accounts() as conn:
        row = conn.execute(
            "select address, device from corpuscope.sessions order by created_at desc limit 1"
        ).fetchone()
    # The last address is the one that the proxy saw; what is before it anybody may have written.
    assert row == ("203.0.113.9", "Firefox on Windows")


def test_what_is_no_form_is_not_read(app: WebApp, ada: Browser) -> None:
    browser = app.browser()
    assert browser.post("/sign-in", json={"email": ADA}).status_code == 400
    assert browser.post("/sign-in", data={"email": "a" * 40_000}).status_code == 400
    assert browser.post("/sign-in", data={f"field{n}": "x" for n in range(30)}).status_code == 400
    assert browser.put("/sign-in", data={"email": ADA}).status_code == 405


def test_a_cookie_that_was_tampered_with_is_none(app: WebApp, ada: Browser) -> None:
    whole = ada.session or ""
    token, _, signature = whole.rpartition(".")
    other = (signed_in(app).session or "").rpartition(".")[0]
    for forged in (
        token,
        f"{token}.",
        f"{token}.{signature[:-1]}",
        f"{token}.{'A' * len(signature)}",
        f"{other}.{signature}",
        f"{token}x.{signature}",
        f"'{whole}'",
        "é" * 40,
        "",
    ):
        browser = app.browser()
        sent = [(b"cookie", f"{SESSION}={forged}".encode())]
        assert goal_of(browser.get("/documents", headers=sent)) == "/sign-in?next=/documents", forged


def test_a_cookie_for_one_purpose_is_none_for_another(app: WebApp, ada: Browser) -> None:
    browser = app.browser()
    token = (ada.session or "").partition(".")[0]
    browser.open_link("/join", token)
    signed = (browser.cookies.get("corpuscope_invitation") or "").strip('"')
    assert signed.startswith(token)
    assert goal_of(app.browser(signed).get("/documents")).startswith("/sign-in")


def test_a_session_is_new_at_every_sign_in(app: WebApp, ada: Browser) -> None:
    """Session fixation: whatever a browser comes with, it leaves with a token that nobody knew. The old one ends."""
    planted = signed_in(app)
    before = planted.session
    planted.submit("/sign-in", email=ADA, password=ADAS)
    assert planted.session not in (None, before)
    assert app.browser(before).get("/documents").status_code == 303
    assert planted.get("/documents").status_code == 200


def test_after_signing_out_the_cookie_is_worth_nothing(app: WebApp, ada: Browser) -> None:
    browser, other = signed_in(app), signed_in(app)
    cookie = browser.session
    assert browser.get("/sign-out").status_code == 200
    assert browser.get("/documents").status_code == 200, "looking at that page signs nobody out"
    answer = browser.submit("/sign-out")
    assert goal_of(answer) == "/sign-in?done=out"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert "signed out" in said(browser.get("/sign-in?done=out"))
    replayed = app.browser(cookie)
    assert replayed.get("/documents").status_code == 303
    assert replayed.get("/media/x").status_code == 401
    assert other.get("/documents").status_code == 200


def test_signing_out_everywhere_ends_them_all(app: WebApp, ada: Browser) -> None:
    with app.database.as_accounts() as conn:
        add_person(conn, "everywhere@example.org", password_hash=hash_password(EVES))
    browsers = [signed_in(app, "everywhere@example.org", EVES) for _ in range(3)]
    assert goal_of(browsers[0].submit("/sign-out", everywhere="yes")) == "/sign-in?done=everywhere"
    assert [browser.get("/documents").status_code for browser in browsers[1:]] == [303, 303]
    assert ada.get("/documents").status_code == 200


def test_a_session_that_was_ended_elsewhere_is_over_at_once(app: WebApp, ada: Browser) -> None:
    browser = signed_in(app)
    with app.database.as_accounts() as conn:
        found = sessions.find_by_token(conn, (browser.session or "").partition(".")[0], idle=timedelta(days=1))
        assert found is not None
        sessions.end(conn, found.id, "an administrator ended it")
    assert browser.get("/documents").status_code == 303
    assert browser.get("/_stcore/host-config").status_code == 401


def test_an_invitation_makes_an_account_once(app: WebApp, ada: Browser) -> None:
    collection = make_collection(app.database, LOCAL_USER, "Pumps & valves")
    token = invite(app.database, "ben@example.org", collection_id=collection, role="editor")
    ben = app.browser()
    assert "paste it here" in said(ben.get("/join"))
    kept = ben.open_link("/join", f"http://corpus.example.org/join#{token}")
    assert goal_of(kept) == "/join"
    page = ben.get("/join")
    assert "Pumps & valves as an editor" in said(page)
    assert 'value="ben@example.org"' in page.text
    assert token not in page.text
    refused = ben.submit("/join", email="ben@example.org", name="Ben", password="short")
    assert refused.status_code == 400
    assert 'value="Ben"' in refused.text
    other = ben.submit("/join", email="mallory@example.org", name="M", password=EVES)
    assert "for another e-mail address" in said(other)
    made = ben.submit("/join", email="ben@example.org", name="Ben", password="nine green bottles")
    assert goal_of(made) == f"/documents?collection={collection}"
    assert ben.get("/documents").status_code == 200
    again = app.browser()
    again.open_link("/join", token)
    gone = again.get("/join")
    assert gone.status_code == 410
    assert "was used already" in said(gone)
    app.tokens.add(token)


def test_somebody_with_an_account_accepts_with_it(app: WebApp, ada: Browser) -> None:
    with app.database.as_accounts() as conn:
        add_person(conn, "cy@example.org", password_hash=hash_password(EVES))
    collection = make_collection(app.database, LOCAL_USER, "Lakes")
    token = invite(app.database, collection_id=collection, role="viewer")
    cy = signed_in(app, "cy@example.org", EVES)
    cy.open_link("/join", token)
    assert "You are signed in as cy@example.org" in said(cy.get("/join"))
    assert goal_of(cy.submit("/join")) == f"/documents?collection={collection}"
    app.tokens.add(token)


def test_a_link_sets_a_new_password_once_and_ends_every_session(app: WebApp, ada: Browser) -> None:
    with app.database.as_accounts() as conn:
        person = add_person(conn, "dee@example.org", password_hash=hash_password(EVES))
        token = invitations.make_reset(conn, person, made_by=LOCAL_USER)
    open_elsewhere = signed_in(app, "dee@example.org", EVES)
    dee = app.browser()
    assert goal_of(dee.open_link("/reset", token)) == "/reset"
    page = dee.get("/reset")
    assert 'value="dee@example.org"' in page.text
    assert token not in page.text
    assert dee.submit("/reset", password="dee@example.org").status_code == 400
    assert goal_of(dee.submit("/reset", password="quite another canary")) == "/sign-in?done=reset"
    assert open_elsewhere.get("/documents").status_code == 303
    assert app.browser().submit("/sign-in", email="dee@example.org", password=EVES).status_code == 400
    signed_in(app, "dee@example.org", "quite another canary")
    again = app.browser()
    again.open_link("/reset", token)
    assert again.get("/reset").status_code == 410
    app.tokens.add(token)


def test_guests_come_in_where_something_is_public(app: WebApp, ada: Browser) -> None:
    guest = app.browser()
    assert "guest" not in said(guest.get("/sign-in"))
    assert "nothing here that guests may see" in said(guest.submit("/guest"))
    collection = make_collection(app.database, LOCAL_USER, "Demo")
    with app.database.as_user(LOCAL_USER) as conn:
        conn.execute("update public.collections set is_public = true where id = %s", [collection])
    assert "Look around as a guest" in said(guest.get("/sign-in?next=/search"))
    assert goal_of(guest.submit("/guest", next="/search")) == "/search"
    assert guest.get("/search").status_code == 200
    assert "Sign in" in said(guest.get("/sign-in")), "a guest may become somebody"
    before = guest.session
    assert goal_of(guest.submit("/sign-in", email=ADA, password=ADAS)) == "/"
    assert app.browser(before).get("/search").status_code == 303


def test_too_many_wrong_passwords_lock_the_address_for_a_while(app: WebApp, ada: Browser) -> None:
    with app.database.as_accounts() as conn:
        add_person(conn, "locked@example.org", password_hash=hash_password(EVES))
    browser = app.browser()
    for address in ("locked@example.org", "never-was@example.org"):
        answers = [browser.submit("/sign-in", email=address, password="guess number one") for _ in range(11)]
        assert [answer.status_code for answer in answers] == [400] * 10 + [429], address
        assert "too many attempts" in said(answers[-1])
        assert "Try again in 15 minutes" in said(answers[-1])
        assert int(answers[-1].headers["retry-after"]) > 800
    right = browser.submit("/sign-in", email="locked@example.org", password=EVES)
    assert right.status_code == 429
    assert browser.session is None


def test_nobody_tells_an_unknown_address_by_the_time_it_takes(app: WebApp, ada: Browser) -> None:
    """Not a measurement: an answer that skips the password's hash comes in a fiftieth of the time."""
    browser = app.browser()
    taken = {}
    for address in (ADA, "no-account-at-all@example.org"):
        began = time.perf_counter()
        for _ in range(3):
            browser.submit("/sign-in", email=address, password="a wrong one again")
        taken[address] = time.perf_counter() - began
    slow, fast = max(taken.values()), min(taken.values())
    assert fast > slow / 10


def test_no_secret_stays_in_the_log(app: WebApp, ada: Browser) -> None:
    """Runs last: what all tests above typed, were given and were refused."""
    log = app.log.read_text(encoding="utf-8", errors="replace")
    key = load_key(app.settings.corpuscope_home)
    assert len(app.tokens) > 10
    secrets = {ADAS, EVES, "nine green bottles", "quite another canary", key.hex(), setup_code(key), *app.tokens}
    assert [secret for secret in secrets if secret in log] == []
    with app.database.as_owner() as conn:
        for table in ("corpuscope.sessions", "corpuscope.people", "corpuscope.invitations", "public.audit_log"):
            rows = conn.execute(f"select t::text from {table} t".encode()).fetchall()
            kept = "\n".join(row[0] for row in rows)
            assert [secret for secret in secrets if secret in kept] == [], table
