"""Signing in, the first account, invitations, passwords, guests and OpenID: what each gives and leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from psycopg import Connection

from rag.auth import people, signing_in
from rag.auth.invitations import find_reset, make_reset
from rag.auth.oidc import sign_in_oidc
from rag.auth.passwords import needs_rehash
from rag.auth.secret_tokens import load_key, setup_code
from rag.corpus.collections import list_collections
from rag.errors import InvalidInput, NotAllowed, SignInRefused
from rag.records import LOCAL_USER
from rag.settings import Settings
from rag.store import bootstrap
from rag.store.database import Database, connect
from tests.integration.door import (
    ANN,
    ANNS,
    BEN,
    BENS,
    HERE,
    IDLE,
    LOCAL,
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

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_public(database: Database) -> UUID:
    collection = make_collection(database, LOCAL_USER)
    with database.as_user(LOCAL_USER) as conn:
        conn.execute("update public.collections set is_public = true where id = %s", [collection])
    return collection


# The first account


def test_the_first_account_takes_over_what_was_made_before(database: Database) -> None:
    before = make_collection(database, LOCAL_USER)
    _, session = signing_in.sign_up_first(database, ANN, "Ann", ANNS, **HERE)
    assert session.identity.user_id == LOCAL_USER
    assert session.identity.is_administrator
    assert (session.identity.email, session.identity.name) == (ANN, "Ann")
    with database.as_user(session.identity.claims) as conn:
        assert [collection.id for collection in list_collections(conn)] == [before]
    assert audit(database)[-1] == ("signed in", ANN)


def test_the_next_start_leaves_the_taken_account_alone(database: Database) -> None:
    make_first(database)
    with connect(database.owner_dsn) as conn:
        bootstrap.ensure_local_user(conn)
    with database.as_accounts() as conn:
        person = people.find_person(conn, LOCAL_USER)
        assert [found.email for found in people.list_accounts(conn)] == [ANN]
    assert person
    assert person.email == ANN


@pytest.mark.parametrize(
    ("email", "password", "says"),
    [("ann", ANNS, "not an e-mail"), (ANN, "short", "10 characters"), (ANN, ANN, "e-mail address")],
)
def test_a_first_account_that_will_not_do(database: Database, email: str, password: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        signing_in.sign_up_first(database, email, "", password, **HERE)
    with database.as_accounts() as conn:
        assert not people.has_accounts(conn)


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False),
        ({"corpuscope_host": "0.0.0.0"}, True),
        ({"public_url": "https://corpus.example.org"}, True),
        ({"public_url": "http://localhost:8501"}, False),
    ],
)
def test_strangers_need_the_set_up_code(
    database: Database, tmp_path: Path, settings: dict[str, Any], needed: bool
) -> None:
    chosen = Settings(_env_file=None, auth="local", corpuscope_home=tmp_path, **settings)
    assert signing_in.needs_setup_code(chosen) == needed
    if needed:
        for code in ("", "ABCD-EFGH-JKLM-NPQR"):
            with pytest.raises(NotAllowed, match="set-up code"):
                signing_in.sign_up_first(database, ANN, "", ANNS, **{**HERE, "settings": chosen}, code=code)
    code = setup_code(load_key(tmp_path))
    assert signing_in.sign_up_first(database, ANN, "", ANNS, **{**HERE, "settings": chosen}, code=code)


# E-mail and password


def test_signing_in_makes_a_session_that_stands(database: Database) -> None:
    make_first(database)
    token, session = sign_in(database, "  ANN@Example.org ")
    assert look(database, token) == session
    assert session.identity.user_id == LOCAL_USER
    assert timedelta(days=29) < session.expires_at - datetime.now(UTC) <= timedelta(days=30)
    with database.as_owner() as conn:
        rows = conn.execute("select action, actor, detail from public.audit_log order by id desc limit 1").fetchall()
    assert rows == [("signed in", LOCAL_USER, {"address": "192.0.2.7", "device": "Firefox on Linux"})]


def test_old_hashes_are_made_anew(database: Database) -> None:
    make_first(database)
    old = PasswordHasher(time_cost=1, memory_cost=8192).hash(ANNS)
    change(database, "update corpuscope.people set password_hash = %s where email = %s", old, ANN)
    before = audit(database)
    sign_in(database)
    with database.as_accounts() as conn:
        person = people.find_by_email(conn, ANN)
    assert person
    assert person.password_hash
    assert not needs_rehash(person.password_hash)
    assert [action for action, _ in audit(database)[len(before) :]] == ["signed in"], "nobody changed a password"
    sign_in(database)


@pytest.mark.parametrize("auth", ["none", "oidc"])
def test_passwords_are_for_installations_with_passwords(database: Database, auth: Any) -> None:
    make_first(database)
    here = {**HERE, "settings": OIDC if auth == "oidc" else Settings(_env_file=None)}
    with pytest.raises(NotAllowed):
        signing_in.sign_in(database, ANN, ANNS, **here)
    with pytest.raises(NotAllowed):
        signing_in.sign_up_first(database, ANN, "", ANNS, **here)
    with pytest.raises(NotAllowed):
        signing_in.join(database, invite(database), email=BEN, name="", password=BENS, **here)


# Invitations


def test_an_invitation_makes_an_account_with_what_it_gives(database: Database) -> None:
    _, ann = make_first(database)
    collection = make_collection(database, ann.identity.claims)
    token = invite(database, BEN, collection_id=collection, role="editor")
    with database.as_accounts() as conn:
        said = signing_in.describe_invitation(conn, token)
    assert said
    assert (said.email, said.collection_name, said.role, said.inviter, said.is_open) == (
        BEN,
        "Owls",
        "editor",
        "Ann",
        True,
    )
    cookie, ben = signing_in.join(database, token, email=BEN.upper(), name=" Ben\n", password=BENS, **HERE)
    assert look(database, cookie) == ben
    assert (ben.identity.email, ben.identity.name, ben.identity.is_administrator) == (BEN, "Ben", False)
    with database.as_user(ben.identity.claims) as conn:
        assert [(found.id, found.role) for found in list_collections(conn)] == [(collection, "editor")]
    assert {("account made", BEN), ("invitation accepted", BEN), ("signed in", BEN)} <= set(audit(database))
    sign_in(database, BEN, BENS)


def test_an_invitation_can_make_an_administrator(database: Database) -> None:
    make_first(database)
    token = invite(database, BEN, as_administrator=True)
    _, ben = signing_in.join(database, token, email=BEN, name="Ben", password=BENS, **HERE)
    assert ben.identity.is_administrator


def test_somebody_with_an_account_accepts_and_never_loses_by_it(database: Database) -> None:
    _, ann = make_first(database)
    ben = make_person(database)
    collection = make_collection(database, ann.identity.claims)
    assert signing_in.accept(database, invite(database, collection_id=collection, role="editor"), ben) == collection
    assert signing_in.accept(database, invite(database, collection_id=collection, role="viewer"), ben) == collection
    assert signing_in.accept(database, invite(database, BEN), ben) is None
    with database.as_user(ben) as conn:
        assert [found.role for found in list_collections(conn)] == ["editor"]


def test_joining_waits_for_the_first_account(database: Database) -> None:
    with pytest.raises(NotAllowed, match="administrator's account"):
        signing_in.join(database, invite(database), email=BEN, name="", password=BENS, **HERE)
    make_first(database)


# Passwords change


def test_changing_a_password_ends_the_other_sessions(database: Database) -> None:
    token, session = make_first(database)
    other, _ = sign_in(database)
    signing_in.change_password(database, session.identity, ANNS, BENS)
    assert look(database, token)
    assert look(database, other) is None
    with pytest.raises(SignInRefused):
        sign_in(database)
    sign_in(database, ANN, BENS)
    assert ("password changed", ANN) in audit(database)


@pytest.mark.parametrize(
    ("old", "new", "error", "says"),
    [
        ("wrong password", BENS, SignInRefused, "present password"),
        (ANNS, "short", InvalidInput, "10 characters"),
        (ANNS, ANNS, InvalidInput, "that you have"),
    ],
)
def test_a_change_that_will_not_do(database: Database, old: str, new: str, error: type[Exception], says: str) -> None:
    _, session = make_first(database)
    other, _ = sign_in(database)
    with pytest.raises(error, match=says):
        signing_in.change_password(database, session.identity, old, new)
    assert look(database, other)
    sign_in(database)


def test_a_reset_link_sets_a_password_and_ends_every_session(database: Database) -> None:
    make_first(database)
    ben = make_person(database)
    cookie, _ = sign_in(database, BEN, BENS)
    with database.as_accounts() as conn:
        first, link = make_reset(conn, ben, made_by=LOCAL_USER), make_reset(conn, ben, made_by=LOCAL_USER)
        assert find_reset(conn, first) is None, "a newer link replaces it"
    with pytest.raises(InvalidInput, match="10 characters"):
        signing_in.reset_password(database, link, "short")
    signing_in.reset_password(database, link, "a brand new one")
    assert look(database, cookie) is None
    sign_in(database, BEN, "a brand new one")
    assert ("password reset", BEN) in audit(database)


def test_a_reset_link_opens_a_locked_door(database: Database) -> None:
    make_first(database)
    for _ in range(10):
        with pytest.raises(SignInRefused):
            sign_in(database, ANN, "wrong password")
    with database.as_accounts() as conn:
        link = make_reset(conn, LOCAL_USER)
    signing_in.reset_password(database, link, BENS)
    sign_in(database, ANN, BENS)


# Guests


def test_a_guest_sees_what_is_public_for_a_day(database: Database) -> None:
    make_first(database)
    public = make_public(database)
    token, guest = signing_in.enter_as_guest(database, **HERE)
    assert look(database, token) == guest
    assert guest.identity.is_guest
    assert guest.identity.label == "Guest"
    assert guest.expires_at - datetime.now(UTC) <= timedelta(days=1)
    with database.as_user(guest.identity.claims) as conn:
        assert [found.id for found in list_collections(conn)] == [public]
    assert audit(database)[-1] == ("guest entered", "a guest")


def test_no_guests_where_nothing_is_public(database: Database) -> None:
    make_first(database)
    with pytest.raises(NotAllowed):
        signing_in.enter_as_guest(database, **HERE)


def test_guests_are_no_accounts(database: Database) -> None:
    make_public(database)
    signing_in.enter_as_guest(database, **HERE)
    make_first(database)


# OpenID


def claims(
    subject: str = "s-1", email: str | None = ANN, *, verified: bool = True, lasts: float = 600
) -> dict[str, Any]:
    said = {
        "iss": "https://id.example.org",
        "aud": "corpuscope",
        "sub": subject,
        "exp": NOW.timestamp() + lasts,
        "name": "Somebody",
    }
    return said if email is None else {**said, "email": email, "email_verified": verified}


@pytest.fixture
def arrive(database: Database) -> Callable[..., tuple[str, Any]]:
    """`arrive(claims, **changes)` comes back from the provider."""

    def come(said: dict[str, Any], **changes: Any) -> tuple[str, Any]:
        options = {"device": "", "address": "192.0.2.7", "settings": OIDC, "now": NOW, **changes}
        return sign_in_oidc(database, said, **options)

    return come


Arrive = Callable[..., tuple[str, Any]]


def test_the_first_person_from_the_provider_is_administrator(database: Database, arrive: Arrive) -> None:
    token, session = arrive(claims())
    assert session.identity.user_id == LOCAL_USER
    assert session.identity.is_administrator
    assert look(database, token) == session
    _, again = arrive(claims(email=None))
    assert again.identity.user_id == LOCAL_USER, "known by the provider's name for them"
    assert again.identity.email == ANN


def test_the_session_ends_with_the_token_and_not_after_the_limit(database: Database, arrive: Arrive) -> None:
    now = datetime.now(UTC)
    said = {**claims(), "exp": (now + timedelta(minutes=5)).timestamp()}
    _, short = arrive(said, now=now)
    assert short.expires_at - now < timedelta(minutes=5, seconds=5)
    _, long = arrive({**said, "exp": (now + timedelta(days=900)).timestamp()}, now=now)
    assert timedelta(days=29) < long.expires_at - now < timedelta(days=31)


def test_only_invited_people_come_in(database: Database, arrive: Arrive) -> None:
    _, ann = arrive(claims())
    with pytest.raises(NotAllowed, match="no account"):
        arrive(claims("s-2", BEN))
    collection = make_collection(database, ann.identity.claims)
    invite(database, BEN, collection_id=collection, role="viewer")
    _, ben = arrive(claims("s-2", BEN.upper()))
    assert not ben.identity.is_administrator
    with database.as_user(ben.identity.claims) as conn:
        assert [found.id for found in list_collections(conn)] == [collection]


def test_a_link_lets_in_and_gives(database: Database, arrive: Arrive) -> None:
    _, ann = arrive(claims())
    collection = make_collection(database, ann.identity.claims)
    link = invite(database, collection_id=collection, role="editor")
    _, ben = arrive(claims("s-2", BEN), invitation=link)
    with database.as_user(ben.identity.claims) as conn:
        assert [found.role for found in list_collections(conn)] == ["editor"]
    with pytest.raises(NotAllowed):
        arrive(claims("s-3", "eve@example.org"), invitation=link)
    arrive(claims("s-2", BEN), invitation=link)  # of no use any more, and no obstacle


def test_anyone_comes_in_where_the_setting_says_so(arrive: Arrive) -> None:
    arrive(claims())
    anyone = OIDC.model_copy(update={"oidc_sign_up": "anyone"})
    _, ben = arrive(claims("s-2", BEN), settings=anyone)
    assert not ben.identity.is_administrator


def test_an_account_with_a_password_passes_to_the_provider(database: Database, arrive: Arrive) -> None:
    make_first(database)
    ben = make_person(database)
    cookie, _ = sign_in(database, BEN, BENS)
    _, session = arrive(claims("s-2", BEN))
    assert session.identity.user_id == ben
    assert look(database, cookie) is None, "whoever had the password didn't prove the address"
    with pytest.raises(SignInRefused):
        sign_in(database, BEN, BENS)
    assert ("account linked", BEN) in audit(database)


def test_sessions_rest_as_long_as_the_settings_say(database: Database) -> None:
    token, _ = make_first(database)
    assert LOCAL.session_idle_hours == 72
    change(database, "update corpuscope.sessions set last_seen_at = now() - %s", IDLE)
    assert look(database, token) is None


def test_the_accounts_role_sees_no_documents(
    database: Database, as_user: Callable[[UUID], AbstractContextManager[Connection[Any]]]
) -> None:
    for table in ("collections", "collection_members", "documents", "chats", "messages", "audit_log"):
        with pytest.raises(NotAllowed), database.as_accounts() as conn:
            conn.execute(f"select from public.{table}".encode())
    for table in ("people", "sessions", "invitations", "password_resets", "throttles"):
        with pytest.raises(NotAllowed), as_user(LOCAL_USER) as conn:
            conn.execute(f"select from corpuscope.{table}".encode())
