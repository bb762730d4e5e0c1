"""Whether a token was signed by a Supabase project, and whom it names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rag.errors import SignInRefused, SignInUnavailable

if TYPE_CHECKING:
    from jwt import PyJWKClient

#: A project signs with one of these and publishes the key, or with a secret of its own (HS256).
_PUBLIC = ("ES256", "RS256", "EdDSA")
_KEYS_LAST_S = 600
_TIMEOUT_S = 10
#: By how many seconds the project's clock may be ahead of ours.
_CLOCKS_DIFFER_S = 60


@dataclass(frozen=True, slots=True)
class Verified:
    """Whom a token names. Unless it ``is_signed_publicly``, only the project itself can say whether it signed it."""

    user_id: UUID
    is_anonymous: bool
    expires_at: datetime
    is_signed_publicly: bool


class ProjectKeys:
    """The public keys of the project whose Auth is at ``address``, fetched when they are first needed."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self._address = address
        self._headers = headers

    def verify(self, token: str) -> Verified:
        """Check signature, audience, role and times.

        Issuers aren't compared: nobody else signs with the project's keys, and its name depends on its domain. Raises
        :class:`SignInRefused`, or :class:`SignInUnavailable` while the keys can't be fetched.
        """
        import jwt

        try:
            algorithm = jwt.get_unverified_header(token).get("alg")
            claims = self._read(token, algorithm)
            user_id = UUID(str(claims["sub"]))
        except jwt.PyJWKClientConnectionError as error:
            raise SignInUnavailable("The Supabase project's signing keys can't be fetched.") from error
        except (jwt.PyJWTError, ValueError) as error:
            raise SignInRefused("The Supabase project's answer can't be verified.", hint="Try again.") from error
        if claims.get("role") != "authenticated":
            raise SignInRefused("The Supabase project's answer is for something else than signing in.", hint="")
        expires_at = datetime.fromtimestamp(int(claims["exp"]), UTC)
        return Verified(user_id, claims.get("is_anonymous") is True, expires_at, algorithm in _PUBLIC)

    def _read(self, token: str, algorithm: object) -> dict[str, Any]:
        import jwt

        options: Any = {"require": ["exp", "sub", "aud"]}
        rules: dict[str, Any] = {"audience": "authenticated", "leeway": _CLOCKS_DIFFER_S}
        if algorithm in _PUBLIC:
            key = self._client.get_signing_key_from_jwt(token)
            return dict(jwt.decode(token, key, algorithms=[str(algorithm)], options=options, **rules))
        if algorithm != "HS256":
            raise jwt.InvalidAlgorithmError("The algorithm is none of a Supabase project's.")
        # The caller asks the project whose this is; what can be checked without the secret is checked here.
        options |= {"verify_signature": False, "verify_exp": True, "verify_aud": True, "verify_nbf": True}
        return dict(jwt.decode(token, algorithms=["HS256"], options=options, **rules))

    @cached_property
    def _client(self) -> PyJWKClient:
        import jwt

        address = f"{self._address}/.well-known/jwks.json"
        return jwt.PyJWKClient(address, headers=self._headers, lifespan=_KEYS_LAST_S, timeout=_TIMEOUT_S)
