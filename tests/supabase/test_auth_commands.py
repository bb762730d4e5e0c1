"""What AUTH=supabase changes at a shell: whom commands act as, and what whoever starts it is told."""

from __future__ import annotations

import io
from argparse import Namespace
from pathlib import Path

import pytest

from rag.auth.project_door import ProjectDoor
from rag.auth.secret_tokens import installation_key, setup_code
from rag.commands.cli_output import Output
from rag.commands.cli_session import Session, open_session
from rag.commands.cli_users import make_reset_link, run_users
from rag.commands.first_account import describe_first_account
from rag.errors import InvalidInput, NotAllowed, SettingsError
from rag.records import LOCAL_USER
from rag.settings import Settings, load_settings
from rag.store.database import Database
from tests.supabase.auth_stand_in import HERE, KEY, StandInAuth, World, proof_of, somebody

ADA, BEN = "ada@example.org", "ben@example.org"


@pytest.fixture
def settings(database: Database, home: Path) -> Settings:
    return Settings(
        _env_file=None,
        corpuscope_home=home,
        auth="supabase",
        supabase_url="https://abcdefgh.supabase.co",
        supabase_publishable_key="sb_publishable_x",
        database_url=database.owner_dsn,
        public_url="https://corpus.example.org",
    )


@pytest.fixture
def door(database: Database, settings: Settings) -> ProjectDoor:
    return ProjectDoor(database, settings, KEY, StandInAuth(World()))


def output() -> Output:
    return Output(json=True, stdout=io.StringIO(), stderr=io.StringIO())


def test_commands_act_as_the_oldest_administrator(door: ProjectDoor, settings: Settings) -> None:
    assert Session(settings, door.database, output()).operator == LOCAL_USER, "until somebody takes that one over"
    ada, ben = somebody(ADA, administers=True), somebody(BEN, administers=True)
    for user in (ada, ben):
        door.enter(proof_of(door, user), HERE)
    assert Session(settings, door.database, output()).operator == ada.id
    with Session(settings, door.database, output()).as_user() as conn:
        assert conn.execute("select auth.uid()").fetchone() == (ada.id,)
    with door.database.as_user(ben.id) as conn:
        conn.execute("select public.set_account_open(%s, false)", [ada.id])
    assert Session(settings, door.database, output()).operator == ben.id


def test_without_anybody_commands_say_so(door: ProjectDoor, settings: Settings) -> None:
    """As on a project whose database was made for AUTH=supabase."""
    with door.database.as_owner() as conn:
        conn.execute("alter table corpuscope.people disable trigger keep_an_administrator_on_delete")
        conn.execute("delete from auth.users where id = %s", [LOCAL_USER])
    with pytest.raises(NotAllowed, match="Nobody administers"), Session(settings, door.database, output()).as_user():
        pass


def test_opening_the_database_for_a_command_makes_nobody_up(door: ProjectDoor, settings: Settings) -> None:
    door.enter(proof_of(door, somebody(ADA, administers=True)), HERE)
    with open_session(settings, output(), model=False) as session, session.database.as_owner() as conn:
        assert conn.execute("select email from corpuscope.people").fetchall() == [(ADA,)]


def test_whoever_starts_it_is_told_the_code_once(door: ProjectDoor, settings: Settings) -> None:
    said = describe_first_account(door.database, settings)
    assert said.startswith("Sign in first, at https://corpus.example.org/sign-in, with the set-up code ")
    assert said.endswith(setup_code(installation_key(settings)))
    door.enter(proof_of(door, somebody(ADA, administers=True)), HERE)
    assert describe_first_account(door.database, settings) == ""


def test_the_list_of_people_says_how_they_sign_in(door: ProjectDoor, settings: Settings) -> None:
    door.enter(proof_of(door, somebody(ADA, administers=True)), HERE)
    out = output()
    assert run_users(Namespace(), settings, out) == 0
    assert '"sign_in": "provider"' in out.stdout.getvalue()  # type: ignore[attr-defined]


def test_passwords_are_the_projects(door: ProjectDoor, settings: Settings) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_reset_link(door.database, settings, ADA)
    assert "Forgot your password?" in refusal.value.hint


def test_the_project_and_its_database_have_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH", "supabase")
    with pytest.raises(SettingsError, match="SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, DATABASE_URL"):
        load_settings(None)
