"""Values that the database keeps for us and can't read: AES-256-GCM under a key made of the installation's."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Seal:
    """Seals and opens values for one ``purpose``; what was sealed for another doesn't open."""

    def __init__(self, key: bytes, *, purpose: str) -> None:
        self._key = hmac.digest(key, f"corpuscope seal {purpose}".encode(), "sha256")

    def close(self, value: bytes, *, bound_to: bytes) -> bytes:
        """The sealed value. It opens only together with ``bound_to``, so that a row's can't be moved to another row."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher().encrypt(nonce, value, bound_to)

    def open(self, sealed: bytes, *, bound_to: bytes) -> bytes | None:
        """What was sealed; None for what was sealed with another key, for another row, or was changed since."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError):
            return None

    def _cipher(self) -> AESGCM:
        # Imported with the first value: most installations never seal one.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)
