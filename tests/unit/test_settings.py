"""Settings: defaults, sources, and a clear refusal of everything that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import SettingsError
from rag.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_defaults_need_nothing(env_file: Path) -> None:
    settings = load_settings(env_file)
    assert settings.embedded
    assert settings.corpuscope_host == "127.0.0.1"
    assert settings.corpuscope_port == 8501
    assert settings.corpuscope_home.name == "corpuscope"


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_file_is_read_and_the_environment_wins(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("CORPUSCOPE_PORT=9000\nCORPUSCOPE_WORKERS=3\n# a comment\n")
    monkeypatch.setenv("CORPUSCOPE_PORT", "9001")
    settings = load_settings(env_file)
    assert (settings.corpuscope_port, settings.corpuscope_workers) == (9001, 3)


def test_an_empty_value_is_no_value(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSCOPE_PORT", "")
    assert load_settings(env_file).corpuscope_port == 8501


def test_database_url_ends_the_embedded_mode(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@example.org/db")
    assert not load_settings(env_file).embedded


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://me@example.org/db"),
        ("CORPUSCOPE_PORT", "eighty"),
        ("CORPUSCOPE_PORT", "0"),
        ("CORPUSCOPE_PORT", "70000"),
        ("CORPUSCOPE_WORKERS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("EMBEDDING_PROVIDER", "magic"),
        ("EMBEDDING_PRECISION", "int8"),
        ("OPENAI_BASE_URL", "example.org"),
        ("MAX_FILE_MB", "0"),
        ("CHAT_TIMEOUT_S", "never"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"{name} '{value}' can't be used") as caught:
        load_settings(env_file)
    assert "README" in caught.value.hint


def test_every_bad_value_is_named_at_once(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSCOPE_PORT", "x")
    monkeypatch.setenv("LOG_LEVEL", "y")
    with pytest.raises(SettingsError, match=r"CORPUSCOPE_PORT.*LOG_LEVEL"):
        load_settings(env_file)


def test_a_misspelt_name_is_refused(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUSCOPE_PROT", "9000")
    with pytest.raises(SettingsError, match="CORPUSCOPE_PROT is not a setting"):
        load_settings(env_file)


def test_a_misspelt_name_in_the_file_is_refused(env_file: Path) -> None:
    env_file.write_text("CORPUSCOPE_PROT=9000\n")
    with pytest.raises(SettingsError, match="CORPUSCOPE_PROT is not a setting"):
        load_settings(env_file)
    env_file.write_text("CHATMODEL=x\n")
    with pytest.raises(SettingsError, match="CHATMODEL is not a setting"):
        load_settings(env_file)


def test_the_key_is_never_shown(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    settings = load_settings(env_file)
    assert "sk-secret" not in repr(settings)
    assert settings.openai_api_key.get_secret_value() == "sk-secret"


def test_nothing_can_be_changed_later(env_file: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(env_file).corpuscope_port = 1  # type: ignore[misc]


def test_a_password_in_an_address_is_neither_taken_nor_said(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:sesame@models.example.org/v1")
    with pytest.raises(SettingsError) as caught:
        load_settings(env_file)
    assert "sesame" not in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)


def test_prices_are_read_by_model(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_PRICES", "gpt-4o-mini=0.15/0.60, org/odd=name=1/2,*=3/15")
    assert load_settings(env_file).prices == {"gpt-4o-mini": (0.15, 0.6), "org/odd=name": (1, 2), "*": (3, 15)}


@pytest.mark.parametrize("prices", ["gpt", "=1/2", "gpt=1", "gpt=1/x", "gpt=-1/2", "gpt=1/inf", "gpt=1/2/3"])
def test_a_price_that_is_none_is_refused(prices: str, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_PRICES", prices)
    with pytest.raises(SettingsError, match="CHAT_PRICES"):
        load_settings(env_file)


def test_a_cap_in_money_needs_prices(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_COST_PER_DAY", "5")
    with pytest.raises(SettingsError, match="CHAT_PRICES"):
        load_settings(env_file)


def test_a_key_that_could_be_guessed_is_refused_and_not_repeated(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUSCOPE_KEY", "short-secret")
    with pytest.raises(SettingsError, match="CORPUSCOPE_KEY has fewer than 32") as caught:
        load_settings(env_file)
    assert "short-secret" not in f"{caught.value} {caught.value.hint}"
    monkeypatch.setenv("CORPUSCOPE_KEY", "long-secret" * 3)
    assert "long-secret" not in repr(load_settings(env_file))


def test_the_default_model_can_always_be_chosen(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_MODEL", "small")
    assert load_settings(env_file).choosable_models == []
    monkeypatch.setenv("CHAT_MODELS", "large, ,small")
    assert load_settings(env_file).choosable_models == ["small", "large"]
