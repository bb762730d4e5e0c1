"""Whose signature on a project's token counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rag.auth.project_claims import ProjectKeys
from rag.errors import SignInRefused, SignInUnavailable
from tests.supabase.gateway import serving

#: Real keys, published as a project does; the server is one of this test's.
SIGNS = ec.generate_private_key(ec.SECP256R1())
FOREIGN = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def keys() -> Iterator[ProjectKeys]:
    def publish(request: Request) -> Response:
        assert request.headers["apikey"] == "sb_publishable_x"
        return JSONResponse(
            {"keys": [json.loads(ECAlgorithm.to_jwk(SIGNS.public_key())) | {"kid": "k", "alg": "ES256", "use": "sig"}]}
        )

    app = Starlette(routes=[Route("/auth/v1/.well-known/jwks.json", publish)])
    with serving(type("Served", (), {"app": app})()) as address:
        yield ProjectKeys(f"{address}/auth/v1", {"apikey": "sb_publishable_x"})


def token_of(key: Any = None, algorithm: str = "ES256", kid: str = "k", **changes: Any) -> str:
    claims = {"sub": str(uuid4()), "aud": "authenticated", "role": "authenticated", "exp": int(time.time()) + 60}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, SIGNS if key is None else key, algorithm, headers={"kid": kid})


def test_the_projects_own_counts(keys: ProjectKeys) -> None:
    user = uuid4()
    verified = keys.verify(token_of(sub=str(user), is_anonymous=True))
    assert (verified.user_id, verified.is_anonymous, verified.is_signed_publicly) == (user, True, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"key": FOREIGN},
        {"kid": "unknown"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"sub": "not-a-uuid"},
        {"sub": None},
        {"role": "service_role"},
        {"role": "anon"},
        {"role": None},
        {"nbf": int(time.time()) + 3600},
        {"key": "", "algorithm": "none"},
        {"key": "s" * 64, "algorithm": "HS512"},
    ],
    ids=lambda changes: " ".join(f"{claim}-{type(value).__name__}" for claim, value in changes.items()),
)
def test_nothing_else_does(keys: ProjectKeys, changes: dict[str, Any]) -> None:
    with pytest.raises(SignInRefused):
        keys.verify(token_of(**changes))


@pytest.mark.parametrize("text", ["", "a.b.c", "eyJhbGciOiJFUzI1NiJ9.e30.", "x" * 5000])
def test_garbage_is_refused(keys: ProjectKeys, text: str) -> None:
    with pytest.raises(SignInRefused):
        keys.verify(text)


def test_a_secret_of_the_projects_is_left_to_the_project(keys: ProjectKeys) -> None:
    """Also one made with the public key as the secret: signed by nobody as far as we know."""
    assert not keys.verify(token_of("s" * 64, "HS256")).is_signed_publicly
    with pytest.raises(SignInRefused):
        keys.verify(token_of("s" * 64, "HS256", exp=int(time.time()) - 3600))


def test_keys_that_cannot_be_fetched_refuse_nobody_for_good() -> None:
    with pytest.raises(SignInUnavailable):
        ProjectKeys("http://127.0.0.1:1/auth/v1", {}).verify(token_of())
