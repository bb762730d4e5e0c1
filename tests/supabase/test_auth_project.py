"""The door before a project's Auth: Supabase's small server here, and a hosted project where its keys are given."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from supabase import create_client

from rag.auth import sessions
from rag.auth.project_door import Caller, ProjectDoor
from rag.auth.sessions import Session
from rag.auth.supabase_auth import AuthProject
from rag.errors import SignInRefused
from rag.settings import Settings
from tests.supabase.auth_server import auth_server
from tests.supabase.stack import Project

HERE = Caller("Firefox on Linux", "192.0.2.7")
PASSWORD = "a password of the tests 7"


@dataclass
class Site:
    """A door that lets anyone in, and a way to make users of the project."""

    door: ProjectDoor
    make_user: Callable[[str], UUID]

    def enter(self, email: str) -> Session:
        return self.door.sign_in(email, PASSWORD, HERE).session

    def due(self, session: Session) -> Session:
        """The session, its access token about to end."""
        with self.door.database.as_accounts() as conn:
            conn.execute("update corpuscope.project_sessions set renew_at = now() where session_id = %s", [session.id])
            found = sessions.find_session(conn, session.id, idle=timedelta(hours=1))
        assert found is not None
        return found


@pytest.fixture(scope="module")
def site(project: Project) -> Iterator[Site]:
    made: list[UUID] = []
    with ExitStack() as opened:
        key = project.publishable_key
        if not project.hosted:
            server = opened.enter_context(auth_server(confirm=False))
            project.route("/auth/v1", f"{server.address}/auth/v1")
            key = server.key
        auth = AuthProject(project.url, key)

        def make_user(email: str) -> UUID:
            if project.hosted:
                admin = create_client(project.url, project.secret_key)
                user = admin.auth.admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True})
                made.append(UUID(user.user.id))
            else:
                proof, _ = auth.sign_up(email, PASSWORD, "", back="http://127.0.0.1:1/sign-in/callback")
                assert proof is not None
                made.append(proof.user.id)
            return made[-1]

        settings = Settings(
            _env_file=None,
            auth="supabase",
            supabase_url=project.url,
            supabase_publishable_key=key,
            supabase_sign_up="anyone",
            database_url=project.database.owner_dsn,
        )
        yield Site(ProjectDoor(project.database, settings, secrets.token_bytes(32), auth), make_user)
        _forget(project, made)


def _forget(project: Project, made: list[UUID]) -> None:
    """Also the first of them, whom nothing but an owner of the schema can take away as the last administrator."""
    with project.database.as_owner() as conn:
        conn.execute("alter table corpuscope.people disable trigger keep_an_administrator_on_delete")
        conn.execute("delete from auth.users where id = any(%s)", [made])
        conn.execute("alter table corpuscope.people enable trigger keep_an_administrator_on_delete")


def address(name: str) -> str:
    return f"{name}-{secrets.token_hex(6)}@example.org"


def test_a_user_of_the_project_is_a_person_here(site: Site, project: Project) -> None:
    email = address("ann")
    user = site.make_user(email)
    session = site.enter(email)
    assert session.identity.user_id == user
    with project.database.as_user(session.identity.claims) as conn:
        assert conn.execute("select auth.uid(), auth.email()").fetchone() == (user, email)
    with project.database.as_owner() as conn:
        assert conn.execute("select count(*) from auth.users where email = %s", [email]).fetchone() == (1,)
    with pytest.raises(SignInRefused):
        site.door.sign_in(email, "not this one at all", HERE)


def test_two_people_in_one_process_renew_their_own(site: Site) -> None:
    people = {email: site.make_user(email) for email in (address("ann"), address("bob"))}
    open_sessions = {email: site.enter(email) for email in people}
    for _ in range(2):
        for email, session in open_sessions.items():
            before = site.door.sessions.tokens_of(session.id)
            renewed = site.door.sessions.keep_fresh(site.due(session))
            assert renewed is not None
            assert (renewed.identity.user_id, renewed.identity.email) == (people[email], email)
            after = site.door.sessions.tokens_of(session.id)
            assert after is not None
            assert before is not None
            assert after.refresh != before.refresh


def test_signing_out_ends_the_session_at_the_project(site: Site) -> None:
    email = address("ann")
    site.make_user(email)
    session, other = site.enter(email), site.enter(email)
    tokens = site.door.sessions.tokens_of(session.id)
    assert tokens is not None
    site.door.sign_out(session)
    with pytest.raises(SignInRefused):
        site.door.project.renew(tokens, lambda new: None)
    assert site.door.sessions.keep_fresh(site.due(other)) is not None, "only that one"


def test_a_changed_password_counts_there(site: Site) -> None:
    email = address("ann")
    site.make_user(email)
    session = site.enter(email)
    site.door.change_password(session.identity, PASSWORD, "another password of the tests 8")
    assert site.door.sessions.keep_fresh(site.due(session)) is not None, "this one goes on"
    with pytest.raises(SignInRefused):
        site.door.project.sign_in(email, PASSWORD)
