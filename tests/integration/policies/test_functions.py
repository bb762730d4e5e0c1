"""Functions: nobody from outside gets anything from one, with arguments or without, and they do work for Alice."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.permissions.attacks import API_ATTACKS, PRIVATE_ATTACKS, PUBLIC_ATTACKS, SCENES, attack
from tests.permissions.cast import ADMINISTRATOR, ANON, CLOSED, GUEST, OUTSIDERS, OWNER, PEOPLE, STRANGER, Part, acting

#: What administrators are for, and what anybody may know of themselves.
ADMINISTRATORS_OWN = {
    "list_people", "set_administrator", "set_account_open", "describe_person_removal", "delete_person", "invite_person",
    "make_password_reset", "list_sessions", "end_session", "end_sessions", "list_limits", "set_limits",
    "list_all_collections", "note_list_export", "open_invitations", "revoke_invitation", "is_administrator",
    "add_embedding_model", "list_model_use",
}  # fmt: skip
#: Without an argument these are about the caller.
ABOUT_THE_CALLER = {"list_sessions", "end_sessions", "my_limits", "my_model_use"}
ATTACKS = PUBLIC_ATTACKS | PRIVATE_ATTACKS


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_outsiders_get_nothing_from_a_function(admin: Connection[Any], target: dict[str, Any], name: str) -> None:
    for part in OUTSIDERS:
        outcome = attack(admin, part, ATTACKS[name], target, SCENES.get(name))
        may = part == ADMINISTRATOR and name in ADMINISTRATORS_OWN
        assert outcome == "works" if may else outcome in ("refused", "nothing"), part.name


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - ADMINISTRATORS_OWN))
def test_the_attacks_work_for_alice(admin: Connection[Any], target: dict[str, Any], name: str) -> None:
    """Else a mistake in an attack would pass for safety."""
    assert attack(admin, OWNER, ATTACKS[name], target, SCENES.get(name)) == "works"


@pytest.mark.parametrize("name", API_ATTACKS)
def test_outsiders_get_nothing_from_the_instant_api(admin: Connection[Any], target: dict[str, Any], name: str) -> None:
    assert attack(admin, OWNER, API_ATTACKS[name], target) == "works"
    for part in (*OUTSIDERS, ANON):
        assert attack(admin, part, API_ATTACKS[name], target) in ("refused", "nothing"), part.name


@pytest.mark.parametrize("part", [STRANGER, GUEST, CLOSED], ids=lambda part: part.name)
@pytest.mark.parametrize("name", sorted(set(PUBLIC_ATTACKS) - ABOUT_THE_CALLER))
def test_nulls_open_nothing(admin: Connection[Any], target: dict[str, Any], name: str, part: Part) -> None:
    """A comparison with null is neither true nor false, and a check that forgets it lets it through."""
    for statement in with_nulls(ATTACKS[name]):
        try:
            outcome = attack(admin, part, statement, target)
        except psycopg.Error:
            continue
        assert outcome in ("refused", "nothing"), statement


def with_nulls(statement: str) -> list[str]:
    """The call with each of its arguments null in turn, each but one, and all."""
    found = re.search(r"(select .*?\()(.*)(\).*)", statement)
    assert found is not None, statement
    arguments = re.split(r",\s*(?![^\[(]*[\])])", found[2]) if found[2] else []
    kept = [{n for n in range(len(arguments)) if n != gone} for gone in range(len(arguments))]
    kept += [{n} for n in range(len(arguments))] + [set()]
    calls = [", ".join(a if n in keep else "null" for n, a in enumerate(arguments)) for keep in kept if arguments]
    return list(dict.fromkeys(found[1] + call + found[3] for call in calls))


def test_nulls_are_put_everywhere() -> None:
    made = with_nulls("select f(%(a)s, array [%(b)s, 2], sha256('m')) where x")
    assert "select f(null, array [%(b)s, 2], sha256('m')) where x" in made
    assert "select f(null, null, null) where x" in made
    assert len(made) == 7


def test_a_guest_and_a_closed_account_make_no_collection(admin: Connection[Any], target: dict[str, Any]) -> None:
    for part in (GUEST, CLOSED):
        assert attack(admin, part, "select create_collection('Mine')", target) == "refused"
    assert attack(admin, STRANGER, "select create_collection('Mine')", target) == "works"


@pytest.mark.parametrize(
    "call",
    [
        "share_collection(null, 'mallory@example.org', null, sha256('m'))",
        "share_collection(%(collection)s, null, 'viewer', sha256('m'))",
        "share_collection(%(collection)s, 'mallory@example.org', null, sha256('m'))",
        "share_by_link(null, null, sha256('m'))",
        "share_by_link(%(collection)s, null, sha256('m'))",
        "share_by_link(%(collection)s, 'owner', sha256('m'))",
    ],
)
def test_sharing_needs_a_role_an_address_and_a_collection(
    admin: Connection[Any], target: dict[str, Any], call: str
) -> None:
    """Else an owner would let people into the installation, or make owners by a link that anybody may find."""
    with pytest.raises((psycopg.errors.RaiseException, psycopg.errors.InsufficientPrivilege)), acting(admin, OWNER):
        admin.execute(f"select {call}".encode(), target)


@pytest.mark.parametrize("part", PEOPLE, ids=lambda part: part.name)
def test_one_collection_is_viewable_as_all_are(admin: Connection[Any], part: Part) -> None:
    """Searching asks of one collection what policies ask of all: the answers must never differ."""
    with acting(admin, part):
        row = admin.execute("select corpuscope.viewable_collections()").fetchone()
        assert row is not None
        admin.execute("select set_config('role', 'none', true)")  # may_view() is for functions only
        found = admin.execute("select id from public.collections where corpuscope.may_view(id)").fetchall()
        assert admin.execute("select corpuscope.may_view(null)").fetchone() == (False,)
    assert {one[0] for one in found} == set(row[0])
