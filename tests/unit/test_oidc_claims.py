"""The claims of an ID token: each that is missing, altered or of another type is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rag.auth.oidc import OidcUser, expected_issuer, verify_claims
from rag.errors import SignInRefused
from rag.settings import Settings

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECONDS = NOW.timestamp()
ISSUER = "https://id.example.org/realms/main"
GOOD: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "corpuscope",
    "sub": "248289761001",
    "exp": SECONDS + 600,
    "iat": SECONDS - 5,
    "email": "Ann@Example.org",
    "email_verified": True,
    "name": "Ann Smith",
}
MISSING = object()


def verify(**changes: object) -> OidcUser:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not MISSING}
    return verify_claims(claims, issuer=ISSUER, audience="corpuscope", now=NOW)


def test_good_claims_name_somebody() -> None:
    user = verify()
    assert (user.issuer, user.subject, user.email, user.name) == (
        ISSUER,
        "248289761001",
        "ann@example.org",
        "Ann Smith",
    )
    assert user.expires_at.timestamp() == SECONDS + 600


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["corpuscope"]},
        {"aud": ["corpuscope", "other"], "azp": "corpuscope"},
        {"azp": "corpuscope"},
        {"iss": ISSUER + "/"},
        {"exp": SECONDS + 0.5},
        {"iat": MISSING},
        {"iat": SECONDS + 30},
        {"name": MISSING},
        {"name": 7},
    ],
)
def test_variations_that_the_standard_allows(changes: dict[str, object]) -> None:
    assert verify(**changes).subject == "248289761001"


@pytest.mark.parametrize(
    "value", [MISSING, None, "", "https://id.example.org", ISSUER + "x", "http" + ISSUER[5:], 5, [ISSUER]]
)
def test_another_issuer_is_refused(value: object) -> None:
    with pytest.raises(SignInRefused, match="another provider"):
        verify(iss=value)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": MISSING},
        {"aud": None},
        {"aud": ""},
        {"aud": "corpuscope2"},
        {"aud": "xcorpuscope"},
        {"aud": ["other"]},
        {"aud": []},
        {"aud": {"corpuscope": 1}},
        {"aud": ["corpuscope", "other"]},
        {"aud": ["corpuscope", "other"], "azp": "other"},
        {"azp": "other"},
    ],
)
def test_a_token_for_somebody_else_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SignInRefused, match="another application"):
        verify(**changes)


@pytest.mark.parametrize(
    "value",
    [
        MISSING,
        None,
        0,
        -1,
        SECONDS,
        SECONDS - 0.1,
        True,
        "soon",
        str(SECONDS + 600),
        float("nan"),
        float("inf"),
        10**30,
    ],
)
def test_an_expired_token_is_refused(value: object) -> None:
    with pytest.raises(SignInRefused, match="expired"):
        verify(exp=value)


@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize("value", [SECONDS + 61, None, "x", True, float("inf")])
def test_a_token_of_the_future_is_refused(name: str, value: object) -> None:
    with pytest.raises(SignInRefused, match="not valid yet"):
        verify(**{name: value})


@pytest.mark.parametrize("value", [MISSING, None, "", 248289761001, "x" * 256, "a\x00b", ["248289761001"]])
def test_a_token_that_names_nobody_is_refused(value: object) -> None:
    with pytest.raises(SignInRefused, match="names nobody"):
        verify(sub=value)


@pytest.mark.parametrize("value", [MISSING, None, False, "true", 1, "True", [True]])
def test_an_address_counts_only_if_it_is_verified(value: object) -> None:
    assert verify(email_verified=value).email is None


@pytest.mark.parametrize("value", [MISSING, None, "", "ann", "a@b@c", "a b@c.org", ["ann@example.org"], "a\x00@b.org"])
def test_what_is_no_address_is_none(value: object) -> None:
    assert verify(email=value).email is None


@pytest.mark.parametrize(
    "value", ["\uff41nn@example.org", "\u212aen@example.org", "\u017fam@example.org", "\u0130@b.org"]
)
def test_a_mailbox_that_is_only_written_like_another_is_none(value: str) -> None:
    """Each becomes an ASCII address when it is put into lower case or a normal form."""
    assert verify(email=value).email is None


@pytest.mark.parametrize(("issuer", "audience"), [("", "corpuscope"), (ISSUER, "")])
def test_without_settings_nobody_comes_in(issuer: str, audience: str) -> None:
    with pytest.raises(SignInRefused):
        verify_claims({**GOOD, "iss": issuer, "aud": audience}, issuer=issuer, audience=audience, now=NOW)


def test_a_refusal_repeats_no_claim() -> None:
    with pytest.raises(SignInRefused) as refusal:
        verify(iss="https://evil.example/<script>")
    assert "evil" not in str(refusal.value) + refusal.value.hint


def test_the_issuer_is_where_the_metadata_is() -> None:
    address = ISSUER + "/.well-known/openid-configuration"
    assert expected_issuer(Settings(_env_file=None, oidc_metadata_url=address)) == ISSUER
