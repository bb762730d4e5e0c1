"""Secrets that links and cookies carry: made at random, known to the database by their hash, signed with our key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import itsdangerous

from rag.errors import SettingsError
from rag.settings import Settings

_KEY_FILE = "cookie.key"
_KEY_BYTES = 32
_CODE_LETTERS = 16


def new_token() -> str:
    """A secret of 256 random bits, safe in a URL's fragment and in a cookie."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """What the database keeps of a token: 32 bytes. No salt, since nobody guesses 256 bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Signer:
    """Signs what browsers keep for us, so that a value that we didn't hand out never reaches the database.

    A value signed for one ``purpose`` is no value for another.
    """

    def __init__(self, key: bytes, *, purpose: str = "session") -> None:
        self._signer = itsdangerous.Signer(
            key, salt=f"corpuscope {purpose}", key_derivation="hmac", digest_method=hashlib.sha256
        )

    def sign(self, value: str) -> str:
        """The value with its signature."""
        return self._signer.sign(value.encode()).decode()

    def unsign(self, text: str) -> str | None:
        """The value that was signed; None where the signature is missing or wrong."""
        try:
            return self._signer.unsign(text.encode()).decode()
        except (itsdangerous.BadSignature, UnicodeError):
            return None


def installation_key(settings: Settings) -> bytes:
    """The key of the installation: from CORPUSCOPE_KEY, which several hosts can share, else :func:`load_key`."""
    if secret := settings.corpuscope_key.get_secret_value():
        return hmac.digest(secret.encode(), b"corpuscope installation", "sha256")
    return load_key(settings.corpuscope_home)


def load_key(home: Path) -> bytes:
    """A host's own signing key: 32 random bytes in a file that only we may read, made once.

    Raises :class:`SettingsError` if the file can't be made or read, or holds something else.
    """
    path = home / _KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        path.chmod(0o600)
        key = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"The file {path} can't be used: {error.strerror}.",
            hint="Point CORPUSCOPE_HOME at a folder that you may write to.",
        ) from error
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"The file {path} is damaged.", hint="Delete it; then everybody has to sign in again.")
    return key


def _make_key(path: Path) -> None:
    """Written whole beside its place, then linked there: of two processes at once, one key stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another process was first: its key is the installation's
    finally:
        draft.unlink()


def setup_code(key: bytes) -> str:
    """What whoever makes the first account of a reachable installation must know: 80 bits, as in ABCD-EFGH-JKLM-NPQR.

    Only who reads the launcher's output or the key file knows it.
    """
    digest = hmac.digest(key, b"corpuscope set-up code", "sha256")
    letters = base64.b32encode(digest).decode()[:_CODE_LETTERS]
    return "-".join(letters[start : start + 4] for start in range(0, _CODE_LETTERS, 4))


def is_setup_code(key: bytes, text: str) -> bool:
    """Whether somebody typed the set-up code; case, spaces and dashes don't matter."""
    typed = "".join(letter for letter in text.upper() if letter.isalnum())
    return hmac.compare_digest(typed.encode(), setup_code(key).replace("-", "").encode())
