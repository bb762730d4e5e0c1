"""Tokens, signatures and the installation's key: nothing passes that wasn't handed out."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from rag.auth.secret_tokens import Signer, hash_token, installation_key, is_setup_code, load_key, new_token, setup_code
from rag.errors import SettingsError
from rag.settings import Settings

KEY = b"k" * 32


def test_tokens_are_long_and_never_the_same() -> None:
    made = {new_token() for _ in range(1000)}
    assert len(made) == 1000
    assert min(map(len, made)) >= 43  # 256 bits in base64


def test_a_hash_says_nothing_of_its_token() -> None:
    token = new_token()
    assert len(hash_token(token)) == 32
    assert token.encode() not in hash_token(token)
    assert hash_token(token) == hash_token(token) != hash_token(token + "x")


def test_a_signed_value_comes_back() -> None:
    signer = Signer(KEY)
    for value in ("abc", "a.b.c", "Ä/ü?x=1&y=2", ""):
        assert signer.unsign(signer.sign(value)) == value


def test_every_altered_letter_is_noticed() -> None:
    signer = Signer(KEY)
    signed = signer.sign("token-of-somebody")
    for place, letter in enumerate(signed):
        other = "A" if letter != "A" else "B"
        altered = signed[:place] + other + signed[place + 1 :]
        # The last letter of base64 carries bits that nobody reads; the value is the same then.
        assert signer.unsign(altered) in (None, "token-of-somebody")
        if place < len("token-of-somebody."):
            assert signer.unsign(altered) is None


@pytest.mark.parametrize("text", ["", ".", "token", "token.", ".signature", "\ud800.x", "a" * 100_000, "\x00"])
def test_what_was_never_signed_is_nothing(text: str) -> None:
    assert Signer(KEY).unsign(text) is None


def test_another_key_or_purpose_signs_differently() -> None:
    signed = Signer(KEY).sign("value")
    assert Signer(b"x" * 32).unsign(signed) is None
    assert Signer(KEY, purpose="next").unsign(signed) is None
    assert Signer(KEY, purpose="session").unsign(signed) == "value"


def test_the_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = load_key(home)
    path = home / "cookie.key"
    assert len(key) == 32
    assert load_key(home) == key == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert load_key(home) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in home.iterdir()] == ["cookie.key"]


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_key(tmp_path), range(64)))
    assert len(keys) == 1


def test_apps_on_several_hosts_share_a_key_by_a_setting(tmp_path: Path) -> None:
    one, other, apart = (
        Settings(_env_file=None, corpuscope_home=tmp_path / name, corpuscope_key=SecretStr(secret))
        for name, secret in (("one", "s" * 32), ("other", "s" * 32), ("apart", "t" * 32))
    )
    assert installation_key(one) == installation_key(other) != installation_key(apart)
    assert list(tmp_path.iterdir()) == [], "no file is made"
    alone = Settings(_env_file=None, corpuscope_home=tmp_path / "alone")
    assert installation_key(alone) == load_key(tmp_path / "alone")


def test_a_damaged_key_is_named_and_not_used(tmp_path: Path) -> None:
    (tmp_path / "cookie.key").write_bytes(b"")
    with pytest.raises(SettingsError, match="damaged"):
        load_key(tmp_path)


def test_a_key_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="can't be used"):
        load_key(tmp_path / "file")


def test_the_set_up_code_is_typed_as_people_type() -> None:
    code = setup_code(KEY)
    assert len(code.replace("-", "")) == 16
    assert is_setup_code(KEY, code)
    assert is_setup_code(KEY, f" {code.lower().replace('-', ' ')} ")
    assert not is_setup_code(KEY, "")
    assert not is_setup_code(KEY, code[:-1])
    assert not is_setup_code(KEY, code + "A")
    assert not is_setup_code(b"x" * 32, code)
    assert not is_setup_code(KEY, "ÄÖÜ" * 6)
