"""Attacks on the door, as somebody would try them: fixation, replay, guessing, races, others' links, forged claims."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import sleep
from typing import Any

import pytest

from rag.auth import people, sessions, signing_in, throttles
from rag.auth.attempts import by_email, by_network, count_attempt, guests_by_network
from rag.auth.identity import Identity
from rag.auth.invitations import make_reset
from rag.auth.oidc import sign_in_oidc
from rag.auth.passwords import verify_password
from rag.auth.secret_tokens import Signer, new_token
from rag.errors import CorpuscopeError, InvalidInput, NotAllowed, SignInBlocked, SignInRefused
from rag.records import LOCAL_USER
from rag.store.database import Database, connect
from tests.integration.door import (
    ANN,
    ANNS,
    BEN,
    BENS,
    HERE,
    OIDC,
    audit,
    change,
    invite,
    look,
    make_collection,
    make_first,
    make_person,
    sign_in,
)

EVE = "eve@example.org"


class Hasher:
    """Counts what is verified, and does it."""

    def __init__(self) -> None:
        self.seen: list[bool] = []
        self._lock = threading.Lock()

    def __call__(self, hash: str | None, password: str) -> bool:
        with self._lock:
            self.seen.append(hash is not None)
        return verify_password(hash, password)


def refusal(attempt: Callable[[], object]) -> CorpuscopeError:
    with pytest.raises(CorpuscopeError) as caught:
        attempt()
    return caught.value


def said(error: CorpuscopeError) -> tuple[type, str, str]:
    return type(error), str(error), error.hint


def at_once(attempt: Callable[[int], object], times: int) -> list[object]:
    """What several threads that start together get: results and refusals."""
    start = threading.Barrier(times)

    def run(number: int) -> object:
        start.wait()
        try:
            return attempt(number)
        except CorpuscopeError as error:
            return error

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


# Sessions


def test_a_session_that_was_planted_never_becomes_somebodys(database: Database) -> None:
    """Fixation: Eve's browser leaves its cookie in Ann's before Ann signs in."""
    make_first(database)
    make_person(database, EVE, BENS)
    planted, eves = sign_in(database, EVE, BENS)
    token, session = sign_in(database)
    assert token != planted
    assert session.id != eves.id
    found = look(database, planted)
    assert found
    assert found.identity.email == EVE


def test_a_cookie_is_worth_nothing_after_signing_out(database: Database) -> None:
    token, session = make_first(database)
    with database.as_accounts() as conn:
        sessions.end(conn, session.id)
    for _ in range(3):
        assert look(database, token) is None
    again, _ = sign_in(database)
    assert look(database, token) is None
    assert look(database, again)


def test_a_cookie_of_ones_own_making_is_refused(database: Database) -> None:
    token, session = make_first(database)
    key = b"k" * 32
    signer = Signer(key)
    cookie = signer.sign(token)
    assert signer.unsign(cookie) == token
    forged = [
        token,
        cookie[:-1],
        str(session.id) + cookie[len(token) :],
        Signer(b"e" * 32).sign(token),
        Signer(key, purpose="next").sign(token),
        "." + cookie,
    ]
    assert [signer.unsign(text) for text in forged] == [None] * len(forged)
    assert look(database, str(session.id)) is None, "knowing a session's id is not being signed in"


def test_what_the_database_keeps_opens_nothing(database: Database) -> None:
    """Whoever reads the tables has hashes only; presenting them, or a part of them, is nobody."""
    token, _ = make_first(database)
    invite(database, BEN)
    with database.as_owner() as conn:
        (stored,) = conn.execute("select token_hash from corpuscope.sessions").fetchone() or (b"",)
        everything = str(
            [
                conn.execute(f"select t::text from corpuscope.{table} t".encode()).fetchall()
                for table in ("people", "sessions", "invitations", "password_resets", "throttles")
            ]
            + conn.execute("select t::text from public.audit_log t").fetchall()
        )
    assert look(database, stored.hex()) is None
    assert look(database, stored.decode("latin-1")) is None
    assert token not in everything
    assert ANNS not in everything


# Guessing


def test_unknown_wrong_and_closed_are_told_apart_by_nothing(database: Database) -> None:
    make_first(database)
    make_person(database)
    make_person(database, EVE, BENS)
    change(database, "update corpuscope.people set disabled_at = now() where email = %s", EVE)
    with database.as_accounts() as conn:
        people.add_person(conn, "nopassword@example.org")
    hasher = Hasher()
    tries = [
        (BEN, "wrong password"),
        ("nobody@example.org", "wrong password"),
        (EVE, BENS),
        ("nopassword@example.org", ""),
        ("not an address", "wrong password"),
        ("a\x00b@example.org", "wrong password"),
        ("x" * 400 + "@example.org", "wrong password"),
        (ANN.replace("a", "\uff41"), ANNS),
        ("", ""),
    ]
    errors = {said(refusal(lambda who=who: sign_in(database, *who, verify=hasher))) for who in tries}  # type: ignore[misc]
    assert len(errors) == 1
    assert errors.pop()[0] is SignInRefused
    assert len(hasher.seen) == len(tries), "the work is done for everybody"
    assert sorted(hasher.seen) == sorted([True, False, True, False, False, False, False, False, False])


def test_the_log_does_not_repeat_what_was_typed_as_an_address(database: Database) -> None:
    """People type their password into the wrong field."""
    make_first(database)
    refusal(lambda: sign_in(database, "my secret passphrase", ""))
    refusal(lambda: sign_in(database, ANN, "wrong password"))
    assert audit(database)[-2:] == [("sign-in failed", "an address without account"), ("sign-in failed", ANN)]
    with database.as_owner() as conn:
        assert "passphrase" not in str(conn.execute("select l::text from public.audit_log l").fetchall())


@pytest.mark.parametrize("email", [ANN, "nobody@example.org"])
def test_ten_failures_lock_an_address_known_or_not(database: Database, email: str) -> None:
    make_first(database)
    hasher = Hasher()
    for number in range(10):
        address = f"198.51.100.{number}"  # from ten places
        error = refusal(lambda a=address: sign_in(database, email, "wrong password", address=a, verify=hasher))  # type: ignore[misc]
        assert type(error) is SignInRefused
    for other in ["  " + email.upper() + "\n", email]:
        error = refusal(lambda o=other: sign_in(database, o, ANNS, verify=hasher))  # type: ignore[misc]
        assert isinstance(error, SignInBlocked)
        assert 0 < error.retry_after <= 900
        assert (str(error), error.hint) == (
            "There were too many attempts to sign in.",
            "Try again in 15 minutes.",
        )
    assert len(hasher.seen) == 10, "whoever is locked out costs nothing"
    assert [action for action, _ in audit(database)].count("locked out") == 1
    change(database, "update corpuscope.throttles set blocked_until = now() - interval '1 second'")
    if email == ANN:
        sign_in(database)
    else:
        assert type(refusal(lambda: sign_in(database, email, ANNS))) is SignInRefused


def test_guesses_side_by_side_get_no_further_than_one_by_one(database: Database) -> None:
    make_first(database)
    hasher = Hasher()
    got = at_once(lambda _: sign_in(database, ANN, "wrong password", verify=hasher), 24)
    assert all(isinstance(one, SignInRefused) for one in got)
    assert len(hasher.seen) == 10
    assert sum(isinstance(one, SignInBlocked) for one in got) == 14


def test_a_crowd_that_was_let_in_before_the_lock_guesses_no_more_than_was_left(database: Database) -> None:
    """All find the door open and wait to be counted; five tries are left for eight."""
    make_first(database)
    for _ in range(5):
        refusal(lambda: sign_in(database, ANN, "wrong password"))
    hasher = Hasher()
    with ThreadPoolExecutor(1) as beside:
        with connect(database.owner_dsn) as conn, conn.transaction():
            conn.execute("select from corpuscope.throttles for update")
            crowd = beside.submit(at_once, lambda _: sign_in(database, ANN, "wrong password", verify=hasher), 8)
            wait_for_lock(database, 8)
        got = crowd.result()
    assert sum(isinstance(one, SignInBlocked) for one in got) == 3
    assert len(hasher.seen) == 5


def wait_for_lock(database: Database, waiting: int) -> None:
    """Until so many sign-ins wait for a row."""
    with connect(database.owner_dsn) as conn:
        for _ in range(1000):
            row = conn.execute(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and application_name = 'corpuscope accounts' and wait_event_type = 'Lock'"
            ).fetchone()
            if row == (waiting,):
                return
            sleep(0.01)
    raise AssertionError(f"never did {waiting} wait: {row}")


def test_the_right_password_forgives_what_went_before(database: Database) -> None:
    make_first(database)
    for _ in range(2):
        for _ in range(9):
            refusal(lambda: sign_in(database, ANN, "wrong password"))
        sign_in(database)


def test_one_place_cannot_try_one_password_on_everybody(database: Database) -> None:
    make_first(database)
    make_person(database, EVE, BENS)
    guard = by_network("2001:db8::1")
    for _ in range(49):
        count_attempt(database, guard)
    sign_in(database, EVE, BENS, address="2001:db8::2")  # Eve's own account gives her no further tries
    refusal(lambda: sign_in(database, "nobody@example.org", "x", address="2001:db8::3"))
    error = refusal(lambda: sign_in(database, "other@example.org", "x", address="2001:db8::dead:beef"))
    assert isinstance(error, SignInBlocked)
    assert isinstance(refusal(lambda: sign_in(database, address="2001:db8::1")), SignInBlocked)
    sign_in(database, address="2001:db8:0:1::1")


def test_failures_long_ago_do_not_count(database: Database) -> None:
    guard = by_email(ANN)
    for _ in range(9):
        count_attempt(database, guard)
    change(database, "update corpuscope.throttles set first_at = now() - interval '16 minutes'")
    assert count_attempt(database, guard) == [1]
    with database.as_accounts() as conn:
        throttles.check(conn, guard.key)


def test_an_open_browser_is_no_place_to_guess_the_password(database: Database) -> None:
    _, session = make_first(database)
    hasher = Hasher()

    def guess() -> None:
        signing_in.change_password(database, session.identity, "wrong password", BENS, verify=hasher)

    for _ in range(10):
        assert type(refusal(guess)) is SignInRefused
    assert isinstance(refusal(guess), SignInBlocked)
    assert isinstance(
        refusal(lambda: signing_in.change_password(database, session.identity, ANNS, BENS)), SignInBlocked
    )
    assert len(hasher.seen) == 10
    sign_in(database)  # the door itself is not locked by that


def test_one_place_does_not_send_guests_without_end(database: Database) -> None:
    make_first(database)
    collection = make_collection(database, LOCAL_USER)
    change(database, "update public.collections set is_public = true where id = %s", collection)
    for _ in range(guests_by_network("").limit):
        signing_in.enter_as_guest(database, **HERE)
    assert isinstance(refusal(lambda: signing_in.enter_as_guest(database, **HERE)), SignInBlocked)


# The first account


def test_of_two_who_make_the_first_account_one_gets_it(database: Database) -> None:
    got = at_once(lambda n: signing_in.sign_up_first(database, f"p{n}@example.org", "", ANNS, **HERE), 4)
    assert sum(isinstance(one, tuple) for one in got) == 1
    assert sum(isinstance(one, NotAllowed) for one in got) == 3
    with database.as_accounts() as conn:
        assert len(people.list_accounts(conn)) == 1


@pytest.mark.parametrize("who", ["password", "provider"])
def test_nobody_makes_the_first_account_twice(database: Database, who: str) -> None:
    if who == "password":
        make_first(database)
    else:
        with database.as_accounts() as conn:
            people.take_over_local(conn, ANN, "", None, "https://id.example.org", "s-1")
    error = refusal(lambda: signing_in.sign_up_first(database, EVE, "", BENS, **HERE))
    assert isinstance(error, NotAllowed)
    with pytest.raises(NotAllowed), database.as_accounts() as conn:
        people.take_over_local(conn, EVE, "", "hash")


# Links


def test_an_invitation_is_used_once(database: Database) -> None:
    make_first(database)
    token = invite(database)
    signing_in.join(database, token, email=BEN, name="", password=BENS, **HERE)
    error = refusal(lambda: signing_in.join(database, token, email=EVE, name="", password=BENS, **HERE))
    assert isinstance(error, InvalidInput)
    assert isinstance(refusal(lambda: signing_in.accept(database, token, LOCAL_USER)), InvalidInput)
    with database.as_accounts() as conn:
        assert people.find_by_email(conn, EVE) is None


def test_of_several_with_one_invitation_one_wins(database: Database) -> None:
    make_first(database)
    token = invite(database)

    def join(number: int) -> object:
        return signing_in.join(database, token, email=f"p{number}@example.org", name="", password=BENS, **HERE)

    got = at_once(join, 4)
    assert sum(isinstance(one, tuple) for one in got) == 1
    assert sum(isinstance(one, InvalidInput) for one in got) == 3
    with database.as_accounts() as conn:
        assert len(people.list_accounts(conn)) == 2, "nobody is left with an account that wasn't theirs to make"
    with database.as_owner() as conn:
        assert conn.execute("select count(*) from auth.users where email like 'p%'").fetchone() == (1,)


def test_an_invitation_for_somebody_else_is_of_no_use(database: Database) -> None:
    make_first(database)
    eve = make_person(database, EVE, BENS)
    token = invite(database, BEN, as_administrator=True)
    with pytest.raises(InvalidInput, match="another e-mail"):
        signing_in.join(database, token, email="eve2@example.org", name="", password=BENS, **HERE)
    with pytest.raises(InvalidInput):
        signing_in.accept(database, token, eve)
    with database.as_accounts() as conn:
        person = people.find_person(conn, eve)
    assert person
    assert not person.is_administrator
    signing_in.join(database, token, email=BEN, name="", password=BENS, **HERE)


@pytest.mark.parametrize(
    "event",
    [
        "update corpuscope.invitations set expires_at = now()",
        "update corpuscope.invitations set revoked_at = now()",
        "delete from corpuscope.invitations",
        "update corpuscope.people set is_administrator = false where email = 'ann@example.org'",
        "update corpuscope.people set disabled_at = now() where email = 'ann@example.org'",
    ],
)
def test_a_dead_invitation_lets_nobody_in(database: Database, event: str) -> None:
    make_first(database)
    other = make_person(database)
    change(database, "update corpuscope.people set is_administrator = true where user_id = %s", other)
    token = invite(database)
    change(database, event)
    with pytest.raises(InvalidInput):
        signing_in.join(database, token, email=EVE, name="", password=BENS, **HERE)
    with pytest.raises(InvalidInput):
        signing_in.accept(database, token, other)
    with pytest.raises(InvalidInput):
        signing_in.join(database, new_token(), email=EVE, name="", password=BENS, **HERE)


def test_joining_does_not_take_an_account_over(database: Database) -> None:
    make_first(database)
    token = invite(database)
    for email in (ANN, f" {ANN.upper()} "):
        with pytest.raises(InvalidInput, match="account with this e-mail"):
            signing_in.join(database, token, email=email, name="", password=BENS, **HERE)
    sign_in(database)
    assert isinstance(refusal(lambda: sign_in(database, ANN, BENS)), SignInRefused)


@pytest.mark.parametrize("shut", ["closed", "guest"])
def test_closed_accounts_and_guests_accept_nothing(database: Database, shut: str) -> None:
    make_first(database)
    with database.as_accounts() as conn:
        person = people.add_person(conn, None if shut == "guest" else BEN, as_guest=shut == "guest")
    if shut == "closed":
        change(database, "update corpuscope.people set disabled_at = now() where user_id = %s", person)
    with pytest.raises(InvalidInput):
        signing_in.accept(database, invite(database), person)


def test_a_reset_link_is_used_once_even_by_two_at_once(database: Database) -> None:
    make_first(database)
    with database.as_accounts() as conn:
        link = make_reset(conn, LOCAL_USER)
    got = at_once(lambda n: signing_in.reset_password(database, link, f"new password {n}"), 3)
    assert got.count(None) == 1
    with pytest.raises(InvalidInput, match="used already"):
        signing_in.reset_password(database, link, "yet another one")
    winner = got.index(None)
    sign_in(database, ANN, f"new password {winner}")


@pytest.mark.parametrize(
    "event",
    [
        "update corpuscope.password_resets set expires_at = now()",
        "update corpuscope.people set disabled_at = now() where email = 'ben@example.org'",
        "delete from auth.users where email = 'ben@example.org'",
    ],
)
def test_a_dead_reset_link_sets_nothing(database: Database, event: str) -> None:
    make_first(database)
    ben = make_person(database)
    with database.as_accounts() as conn:
        link = make_reset(conn, ben)
    change(database, event)
    with pytest.raises(InvalidInput):
        signing_in.reset_password(database, link, "a brand new one")
    with pytest.raises(InvalidInput):
        signing_in.reset_password(database, new_token(), "a brand new one")


def test_changing_the_password_kills_the_links_to_change_it(database: Database) -> None:
    _, session = make_first(database)
    with database.as_accounts() as conn:
        link = make_reset(conn, LOCAL_USER)
    signing_in.change_password(database, session.identity, ANNS, BENS)
    with pytest.raises(InvalidInput):
        signing_in.reset_password(database, link, "a brand new one")


def test_an_identity_of_ones_own_making_changes_no_password(database: Database) -> None:
    """Pages hand over the verified identity; somebody else's id alone is not enough without the old password."""
    make_first(database)
    forged = Identity(LOCAL_USER, EVE, is_administrator=True)
    with pytest.raises(SignInRefused):
        signing_in.change_password(database, forged, BENS, "a brand new one")
    sign_in(database)


# The provider's word


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).timestamp()
    said = {"iss": "https://id.example.org", "aud": "corpuscope", "sub": "s-1", "exp": now + 600}
    return {**said, "email": ANN, "email_verified": True, **changes}


def arrive(database: Database, said: dict[str, Any], **changes: Any) -> Any:
    return sign_in_oidc(database, said, **{"device": "", "address": "", "settings": OIDC, **changes})


@pytest.mark.parametrize(
    "forged",
    [
        {"iss": "https://evil.example.org"},
        {"aud": "another-client"},
        {"exp": 0},
        {"sub": ""},
        {"sub": None},
        {"iat": 99_999_999_999},
    ],
)
def test_forged_claims_make_no_session_and_no_account(database: Database, forged: dict[str, Any]) -> None:
    with pytest.raises(SignInRefused):
        arrive(database, claims(**forged))
    with database.as_accounts() as conn:
        assert not people.has_accounts(conn)
    with database.as_owner() as conn:
        assert conn.execute("select count(*) from corpuscope.sessions").fetchone() == (0,)


@pytest.mark.parametrize("verified", [False, None, "true"])
def test_an_address_that_was_never_verified_opens_no_account(database: Database, verified: object) -> None:
    make_first(database)
    invite(database, BEN, as_administrator=True)
    anyone = OIDC.model_copy(update={"oidc_sign_up": "anyone"})
    for email in (ANN, BEN, EVE):
        with pytest.raises(NotAllowed, match="confirm"):
            arrive(database, claims(sub="s-9", email=email, email_verified=verified), settings=anyone)


def test_an_address_that_passed_to_somebody_else_does_not_bring_the_account(database: Database) -> None:
    arrive(database, claims())
    with pytest.raises(NotAllowed, match="Another person"):
        arrive(database, claims(sub="s-2"))


def test_the_same_name_at_another_provider_is_somebody_else(database: Database) -> None:
    arrive(database, claims())
    other = OIDC.model_copy(update={"oidc_metadata_url": "https://other.example/.well-known/openid-configuration"})
    with pytest.raises(NotAllowed):
        arrive(database, claims(iss="https://other.example", email=EVE), settings=other)


def test_a_closed_account_stays_closed_whoever_vouches(database: Database) -> None:
    arrive(database, claims())
    ben = make_person(database)
    change(database, "update corpuscope.people set disabled_at = now() where user_id = %s", ben)
    with pytest.raises(NotAllowed, match="closed"):
        arrive(database, claims(sub="s-2", email=BEN))
    with database.as_accounts() as conn:
        person = people.find_person(conn, ben)
    assert person
    assert person.subject is None
    assert person.password_hash


def test_of_two_first_arrivals_one_is_administrator(database: Database) -> None:
    anyone = OIDC.model_copy(update={"oidc_sign_up": "anyone"})
    got = at_once(lambda n: arrive(database, claims(sub=f"s-{n}", email=f"p{n}@example.org"), settings=anyone), 4)
    administrators = [one for one in got if isinstance(one, tuple) and one[1].identity.is_administrator]
    assert len(administrators) == 1


@pytest.mark.parametrize("auth", ["none", "local"])
def test_the_provider_has_no_say_where_it_was_not_asked(database: Database, auth: str) -> None:
    with pytest.raises(NotAllowed):
        arrive(database, claims(), settings=OIDC.model_copy(update={"auth": auth}))
