"""Passwords: what may be one, how one is kept, and that nobody is told apart by the work that is done."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher

from rag.auth.passwords import LONGEST, check_new_password, hash_password, needs_rehash, verify_password
from rag.errors import InvalidInput

GOOD = "correct horse battery"


def test_a_password_is_known_again_and_never_kept() -> None:
    kept = hash_password(GOOD)
    assert kept.startswith("$argon2id$")
    assert GOOD not in kept
    assert kept != hash_password(GOOD)
    assert verify_password(kept, GOOD)
    assert not verify_password(kept, GOOD + " ")
    assert not verify_password(kept, GOOD.upper())
    assert not verify_password(kept, "")


def test_nobody_has_no_password() -> None:
    assert not verify_password(None, GOOD)
    assert not verify_password(None, "")


def test_a_password_is_the_same_on_every_keyboard() -> None:
    assert verify_password(hash_password("Passwo\u0308rter sind lang"), "Passw\u00f6rter sind lang")


def test_a_huge_password_costs_no_more_and_is_wrong() -> None:
    kept = hash_password("x" * LONGEST)
    assert verify_password(kept, "x" * LONGEST)
    assert not verify_password(kept, "x" * (LONGEST + 1))
    assert not verify_password(kept, "x" * 2_000_000)


@pytest.mark.parametrize("kept", ["", "plain text", "$argon2id$v=19$m=65536", "$2b$12$abcdefghijklmnopqrstuv"])
def test_a_damaged_hash_lets_nobody_in(kept: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not verify_password(kept, kept)
    assert kept == "" or kept not in caplog.text


def test_old_parameters_are_noticed() -> None:
    assert not needs_rehash(hash_password(GOOD))
    assert needs_rehash(PasswordHasher(time_cost=1, memory_cost=8192).hash(GOOD))


@pytest.mark.parametrize("password", [GOOD, "zwölf Bäume", "k7#Qz!m2pX", "passwort des vierten tages"])
def test_good_passwords_are_taken(password: str) -> None:
    check_new_password(password, "ann@example.org")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("", "10 characters"),
        ("k7#Qz!m2p", "10 characters"),
        ("x" * (LONGEST + 1), "at most"),
        ("ann.smith@example.org", "e-mail address"),
        ("Ann.Smith@Example.org", "e-mail address"),
        ("ann.smith!!", "e-mail address"),
        ("annsmithannsmith", "e-mail address"),
        ("1234567890", "first passwords"),
        ("Password-123", "first passwords"),
        ("QwertyUiop", "first passwords"),
        ("aaaaaaaaaaaa", "first passwords"),
        ("121212121212", "first passwords"),
        ("..........", "first passwords"),
    ],
)
def test_bad_passwords_are_refused_with_the_reason(password: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as refusal:
        check_new_password(password, "ann.smith@example.org")
    assert not password or password not in str(refusal.value) + refusal.value.hint
