"""Passwords: what may be one, and how one is kept (Argon2id, with the parameters that its library recommends)."""

from __future__ import annotations

import logging
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from rag.errors import InvalidInput

_log = logging.getLogger(__name__)

SHORTEST = 10
LONGEST = 1000

_hasher = PasswordHasher()
#: One hash takes 64 MiB: a crowd at the door waits instead of filling the memory.
_seats = threading.BoundedSemaphore(4)

#: Of the lists of leaked passwords, those at the top that are long enough for us, in letters and digits alone.
_COMMONEST_LINES = """
    1234567890 0123456789 12345678910 0987654321 9876543210 1234567891 123456789a a123456789 123456789q 1234512345
    1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc q1w2e3r4t5 q1w2e3r4t5y6 qwertyuiop qwerty1234 qwerty12345 qwerty123456
    qwertyuiop123 qwerty123456789 asdfghjkl1 asdfghjkl123 zxcvbnm123 1234qwerasdf qazwsxedcrfv qazwsxedc123
    password01 password12 password10 password123 password1234 password12345 password123456 passwordpassword
    mypassword mypassword1 mypassword123 thepassword newpassword newpassword1 changeme123 changemenow passw0rd123
    p4ssw0rd123 pa55word123 letmein123 letmein1234 welcome123 welcome1234 welcome2024 welcome2025 welcome2026
    administrator administrator1 administrator123 admin12345 admin123456 adminadmin root123456 test123456 testtest123
    iloveyou12 iloveyou123 iloveyou1234 princess123 sunshine123 football123 baseball123 superman123 batman12345
    dragon12345 monkey12345 michael123 charlie123 jordan12345 liverpool1 liverpool123 manchester chelsea123
    abcdefghij abcdefghijk abcdef1234 abc123456789 abcd123456 abcd1234567 abc1234567 aa12345678 asdf123456
    computer123 internet123 samsung123 starwars123 trustno1234 whatever123 freedom123 summer2024 summer2025 summer2026
    winter2024 winter2025 winter2026 corpuscope corpuscope1 corpuscope123
"""
_COMMONEST = frozenset(_COMMONEST_LINES.split())


def hash_password(password: str) -> str:
    """The string that is kept in place of a password; it takes some 50 ms and 64 MiB on purpose."""
    with _seats:
        return _hasher.hash(_bytes_of(password))


def verify_password(hash: str | None, password: str) -> bool:
    """Whether ``password`` is the one. With None (nobody, or no password) the work is the same and the answer False."""
    if hash is None or len(password) > LONGEST:
        hash_password(password[:LONGEST])
        return False
    try:
        with _seats:
            return _hasher.verify(hash, _bytes_of(password))
    except VerifyMismatchError:
        return False
    except (VerificationError, InvalidHashError) as error:
        _log.error("A password's hash in the database can't be used: %s", type(error).__name__)
        return False


def needs_rehash(hash: str) -> bool:
    """Whether the hash was made with parameters that are not today's; after a sign-in it can be made anew."""
    return _hasher.check_needs_rehash(hash)


def check_new_password(password: str, email: str) -> None:
    """Raises :class:`InvalidInput` if this must not become the password of ``email``."""
    if len(password) < SHORTEST:
        raise InvalidInput(
            f"A password has {SHORTEST} characters or more.", hint="Three or four words make a good one."
        )
    if len(password) > LONGEST:
        raise InvalidInput(f"A password has {LONGEST:,} characters at most.")
    bare = _bare(password)
    if bare in {_bare(email), _bare(email.partition("@")[0]), _bare(email.partition("@")[0]) * 2}:
        raise InvalidInput("The password is the e-mail address.", hint="Choose one that nobody can guess.")
    if bare in _COMMONEST or len(set(bare)) < 4:
        raise InvalidInput("That is one of the first passwords that anybody would try.", hint="Choose another one.")


def _bare(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).lower() if letter.isalnum())


def _bytes_of(password: str) -> bytes:
    """One password whatever keyboard it was typed on: accents composed."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
