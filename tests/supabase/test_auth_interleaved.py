"""Fifty people in one process, each with two tabs, all at once: nobody is ever answered as somebody else.

The pages of the sign-in, the gate and the door are the app's own, served here by this process; the Auth server is
Supabase's small one. Tokens come due again and again, so that both tabs of a person want to renew them at once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rag.auth.sessions import Session
from rag.auth.supabase_auth import AuthProject, ProjectTokens, Proof
from rag.corpus.collections import create_collection
from rag.settings import Settings
from rag.store.database import Database
from rag.web.entrance import SESSION_KEY, Entrance
from rag.web.gate import SessionGate
from rag.web.site import routes
from tests.conftest import temporary_home
from tests.supabase.auth_server import auth_server
from tests.supabase.gateway import serving

PEOPLE = 50
ROUNDS = 6
_AT_ONCE = 24
#: A route of this test's, under the addresses at which the gate hands on the session.
WHO = "/api/who"


@dataclass
class Served:
    """A process with a door, and what it would answer whom."""

    app: Starlette

    @classmethod
    def behind(cls, entrance: Entrance) -> Served:
        def who(request: Request) -> Response:
            session: Session = request.scope[SESSION_KEY]
            with entrance.database.as_user(session.identity.claims) as conn:
                row = conn.execute("select auth.uid(), auth.email(), array(select name from collections)").fetchone()
            tokens = entrance.project_door.sessions.tokens_of(session.id)
            assert row is not None
            assert tokens is not None
            sub = jwt.decode(tokens.access, options={"verify_signature": False})["sub"]
            return JSONResponse([session.identity.email, str(row[0]), row[1], row[2], sub])

        return cls(
            Starlette(
                routes=[*routes(entrance), Route(WHO, who)], middleware=[Middleware(SessionGate, entrance=entrance)]
            )
        )


class Counted(AuthProject):
    """The project's Auth; how often each refresh token was traded."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.traded: Counter[str] = Counter()

    def renew(self, tokens: ProjectTokens, keep: Callable[[ProjectTokens], None]) -> Proof:
        self.traded[tokens.refresh] += 1
        return super().renew(tokens, keep)


@dataclass
class House:
    """Everybody's ids by address, and where the app is."""

    address: str
    database: Database
    project: Counted
    ids: dict[str, UUID]


@pytest.fixture(scope="module")
def house(module_database: Database) -> Iterator[House]:
    with module_database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with auth_server(confirm=False) as server, temporary_home() as home:
        settings = Settings(
            _env_file=None,
            corpuscope_home=home,
            auth="supabase",
            supabase_url=server.address,
            supabase_publishable_key=server.key,
            supabase_sign_up="anyone",
            database_url=module_database.owner_dsn,
        )
        project = Counted(server.address, server.key)
        entrance = Entrance(settings, lambda: module_database, project=project)

        def join(number: int) -> tuple[str, UUID]:
            proof, _ = project.sign_up(email(number), password(number), "", back="http://127.0.0.1:1/sign-in/callback")
            assert proof is not None
            return email(number), proof.user.id

        with ThreadPoolExecutor(_AT_ONCE) as crowd:
            ids = dict(crowd.map(join, range(PEOPLE)))
        with serving(Served.behind(entrance)) as address:  # type: ignore[arg-type]
            yield House(address, module_database, project, ids)


def email(number: int) -> str:
    return f"person-{number}@example.org"


def password(number: int) -> str:
    return f"a password of number {number}"


def browser(house: House) -> httpx.Client:
    headers = {"Origin": house.address, "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=house.address, headers=headers, timeout=60, trust_env=False)


def sign_in(house: House, number: int) -> httpx.Client:
    tab = browser(house)
    answer = tab.post("/sign-in", data={"email": email(number), "password": password(number), "next": "/documents"})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/documents"), answer.text
    return tab


def let_tokens_come_due(house: House) -> None:
    with house.database.as_accounts() as conn:
        conn.execute("update corpuscope.project_sessions set renew_at = now(), renewing_until = null")


def test_fifty_interleaved_sessions_are_never_mixed(house: House) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as crowd:
        tabs = list(crowd.map(lambda number: sign_in(house, number), range(PEOPLE)))
        for number in range(PEOPLE):
            with house.database.as_user(house.ids[email(number)]) as conn:
                create_collection(conn, f"Of number {number}")

        def look(number: int) -> tuple[int, int, list[object]]:
            answer = tabs[number].get(WHO)
            return number, answer.status_code, answer.json() if answer.status_code == 200 else []

        rng = random.Random(7)
        for _ in range(ROUNDS):
            let_tokens_come_due(house)
            looks = [*range(PEOPLE), *range(PEOPLE)]
            rng.shuffle(looks)
            for number, status, said in crowd.map(look, looks):
                expected = house.ids[email(number)]
                assert status == 200
                assert said == [email(number), str(expected), email(number), [f"Of number {number}"], str(expected)]
        assert house.project.traded.total() == PEOPLE * ROUNDS, "each came due in each round"
        assert set(house.project.traded.values()) == {1}, "no refresh token was used twice"
        out = list(crowd.map(lambda tab: tab.post("/sign-out", data={"everywhere": ""}).status_code, tabs[::2]))
        assert Counter(out) == {303: PEOPLE // 2}
        after = dict(crowd.map(lambda number: (number, tabs[number].get(WHO).status_code), range(PEOPLE)))
    assert after == {number: 401 if number % 2 == 0 else 200 for number in range(PEOPLE)}
    for tab in tabs:
        tab.close()


def test_no_two_renew_the_same_token(house: House) -> None:
    """A refresh token that is used twice can end its session: here sixteen tabs want to at once, six times."""
    before = house.project.traded.total()
    with ThreadPoolExecutor(16) as crowd:
        tab = sign_in(house, 3)
        for _ in range(ROUNDS):
            let_tokens_come_due(house)
            assert set(crowd.map(lambda _: tab.get(WHO).status_code, range(16))) == {200}
        tab.close()
    assert house.project.traded.total() == before + ROUNDS
    assert set(house.project.traded.values()) == {1}


def test_a_browser_that_signs_in_as_somebody_else_is_them_from_then_on(house: House) -> None:
    tab = sign_in(house, 5)
    former = tab.cookies["corpuscope_session"]
    answer = tab.post("/sign-in", data={"email": email(6), "password": password(6)})
    assert answer.status_code == 303
    assert tab.get(WHO).json()[0] == email(6)
    tab.close()
    with browser(house) as other:
        other.cookies.set("corpuscope_session", former, domain="127.0.0.1")
        assert other.get(WHO).status_code == 401
