"""Every setting, read once from the environment and an optional ``.env``. Nothing else reads the environment."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import platformdirs
from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rag.errors import SettingsError

#: Name and password within an address.
_PASSWORD = re.compile(r"//[^/@\s]*:[^/@\s]*@")
_SHORTEST_KEY = 32


class Settings(BaseSettings):
    """All settings with their defaults. The field description is the README's wording."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="forbid", frozen=True, env_ignore_empty=True
    )

    corpuscope_home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("corpuscope")),
        description="Folder for the embedded database, the exported model and the logs.",
    )
    database_url: str = Field(
        default="",
        pattern=r"^$|^postgres(ql)?://",
        description="Any Postgres 15 or later with pgvector 0.7 or later; empty means the embedded one.",
    )
    corpuscope_host: str = Field(default="127.0.0.1", description="Address that the app listens on.")
    corpuscope_port: int = Field(default=8501, ge=1, le=65535, description="Port that the app listens on.")
    corpuscope_workers: int = Field(
        default=1, ge=0, le=32, description="Worker processes that `corpuscope` starts; 0 when they run elsewhere."
    )
    corpuscope_key: SecretStr = Field(
        default=SecretStr(""),
        description="Secret of at least 32 characters from which signatures are made, the same for each app of an "
        "installation on several hosts; empty means a file in CORPUSCOPE_HOME.",
    )
    auth: Literal["none", "local", "oidc", "supabase"] = Field(
        default="none",
        description="Who may come in: `none` is one person without sign-in, `local` e-mail and password, "
        "`oidc` an OpenID provider, `supabase` the accounts of a Supabase project.",
    )
    allow_open_network: bool = Field(
        default=False,
        description="Let AUTH=none listen on other than this machine's own addresses: everybody who reaches it is you.",
    )
    public_url: str = Field(
        default="",
        pattern=r"^$|^https?://[^/]+$",
        description="Where people reach the app, as in https://corpus.example.org; empty means http://host:port.",
    )
    session_days: int = Field(default=30, ge=1, le=365, description="Days after which a session ends in any case.")
    session_idle_hours: int = Field(
        default=72, ge=1, le=8760, description="Hours without a visit after which a session ends."
    )
    oidc_metadata_url: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="The provider's address that ends in /.well-known/openid-configuration.",
    )
    oidc_client_id: str = Field(default="", description="What the provider calls this installation.")
    oidc_client_secret: SecretStr = Field(default=SecretStr(""), description="The secret that goes with it.")
    oidc_label: str = Field(default="your organisation", description="What the sign-in button calls the provider.")
    oidc_sign_up: Literal["invited", "anyone"] = Field(
        default="invited", description="Who gets an account at the first sign-in: who was invited, or anyone it knows."
    )
    supabase_url: str = Field(
        default="",
        pattern=r"^$|^https?://[^\s/@?#]+$",
        description="Address of the Supabase project, as in https://abcdefgh.supabase.co; docs/supabase.md.",
    )
    supabase_publishable_key: str = Field(
        default="", description="The project's publishable (or anon) key: it gives nobody any rights."
    )
    supabase_secret_key: SecretStr = Field(
        default=SecretStr(""),
        description="The project's secret (or service_role) key, for live updates, originals and functions; "
        "it never leaves the server.",
    )
    supabase_oauth: str = Field(
        default="",
        description="Sign-in providers that the project has enabled, separated by commas, as in `github, google`.",
    )
    supabase_sign_up: Literal["invited", "anyone"] = Field(
        default="invited",
        description="Who of the project's accounts gets in here: who was invited, or anyone who signs up there.",
    )
    supabase_bucket: str = Field(
        default="originals", pattern=r"^[a-z0-9][a-z0-9_-]{1,62}$", description="The private bucket for originals."
    )
    originals: Literal["database", "supabase"] = Field(
        default="database",
        description="Where originals are kept: in the database, or in SUPABASE_BUCKET, to which workers bring them.",
    )
    live_updates: Literal["auto", "listen", "broadcast", "poll"] = Field(
        default="auto",
        description="How pages hear of changes: LISTEN, Supabase Realtime, or by looking alone; "
        "`auto` is LISTEN, or Realtime where that is impossible. With `broadcast`, and with `auto` on a project whose "
        "keys are set, workers broadcast changes.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="How much the log says."
    )
    embedding_provider: Literal["local", "openai", "supabase"] = Field(
        default="local",
        description="Where text is embedded: on this machine, by an OpenAI-compatible server, "
        "or by the project's Edge Function.",
    )
    embedding_model: str = Field(
        default="all-MiniLM-L6-v2",
        min_length=1,
        description="Embedding model: the packaged one, a sentence-transformers name or folder, or a provider's name.",
    )
    embedding_precision: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="Arithmetic of the local model; `auto` takes bf16 where the processor has it."
    )
    rerank_models: str = Field(
        default="",
        description="Cross encoders (names or folders, separated by commas) that a profile may rerank with; "
        "empty means any with AUTH=none, else none.",
    )
    embedding_base_url: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="Base URL for embeddings when it differs from OPENAI_BASE_URL.",
    )
    embedding_dimensions: int = Field(
        default=0,
        ge=0,
        le=16000,
        description="Length of a hosted model's vectors; 0 means what is known of OpenAI's models.",
    )
    embedding_window: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Tokens that a hosted model reads; 0 means what is known of OpenAI's models, else 512.",
    )
    openai_base_url: str = Field(
        default="",
        pattern=r"^$|^https?://[^\s@?#]+$",
        description="Base URL of an OpenAI-compatible server (docs/models.md has six); empty means OpenAI's own.",
    )
    openai_api_key: SecretStr = Field(default=SecretStr(""), description="Key for that server.")
    chat_model: str = Field(
        default="", description="Chat model that writes answers; empty means extractive answers without a model."
    )
    chat_models: str = Field(
        default="",
        description="Names, separated by commas, that people may choose beside CHAT_MODEL; "
        "empty means every chat model that the server lists.",
    )
    chat_timeout_s: float = Field(
        default=60, gt=0, le=600, description="Seconds of silence after which a chat model is given up on."
    )
    chat_longest_s: float = Field(
        default=600, gt=0, le=7200, description="Seconds after which a chat model that is still writing is cut off."
    )
    chat_context_tokens: int = Field(
        default=8000,
        ge=2000,
        le=1_000_000,
        description="Tokens that the chat model reads at once: passages, earlier turns and the answer share them.",
    )
    chat_tokens_per_conversation: int = Field(
        default=0, ge=0, le=10**12, description="Tokens that the chat model may cost a conversation; 0 means no cap."
    )
    chat_tokens_per_day: int = Field(
        default=0, ge=0, le=10**12, description="Tokens that it may cost a person in a day (UTC); 0 means no cap."
    )
    chat_tokens_per_day_in_all: int = Field(
        default=0, ge=0, le=10**12, description="Tokens that it may cost everybody together in a day; 0 means no cap."
    )
    chat_prices: str = Field(
        default="",
        description="What a million tokens read and written cost, as in `gpt-4o-mini=0.15/0.60, *=3/15`; "
        "`*` is any other model.",
    )
    chat_cost_per_conversation: float = Field(
        default=0, ge=0, description="What it may cost a conversation in the money of CHAT_PRICES; 0 means no cap."
    )
    chat_cost_per_day: float = Field(
        default=0, ge=0, description="What it may cost a person in a day, in that money; 0 means no cap."
    )
    chat_cost_per_day_in_all: float = Field(
        default=0, ge=0, description="What it may cost everybody together in a day; 0 means no cap."
    )
    max_file_mb: int = Field(default=200, ge=1, le=2000, description="Largest file that is accepted, in MB.")
    max_unpacked_mb: int = Field(
        default=80, ge=1, le=4000, description="Most that a packed file (DOCX, XLSX, EPUB…) may unpack to, in MB."
    )
    parse_timeout_s: int = Field(default=120, ge=1, le=3600, description="Most seconds that reading one file may take.")
    parse_memory_mb: int = Field(
        default=2048, ge=256, le=65536, description="Most memory that reading one file may take, in MB."
    )

    @property
    def embedded(self) -> bool:
        """True when the packaged Postgres is used."""
        return not self.database_url

    @property
    def prices(self) -> dict[str, tuple[float, float]]:
        """What a million tokens (read, written) cost by model; ``*`` is any other. Raises :class:`SettingsError`."""
        return dict(map(_read_price, filter(None, _split(self.chat_prices))))

    @property
    def choosable_models(self) -> list[str]:
        """The names of CHAT_MODELS with the default first; empty when every model of the server may be chosen."""
        named = [name for name in _split(self.chat_models) if name]
        return list(dict.fromkeys([self.chat_model, *named])) if named else []


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _read_price(part: str) -> tuple[str, tuple[float, float]]:
    name, _, price = part.rpartition("=")
    try:
        read, written = (float(one) for one in price.split("/"))
    except ValueError:
        name = ""
    if not name.strip() or not (0 <= read < float("inf") and 0 <= written < float("inf")):
        raise SettingsError(
            f"CHAT_PRICES can't be used: “{part}” is no price.",
            hint="Write each as name=read/written, for a million tokens: gpt-4o-mini=0.15/0.60.",
        )
    return name.strip(), (read, written)


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings; raise :class:`SettingsError` naming each bad one."""
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        raise SettingsError(_explain(error), hint="README.md lists every setting.") from error
    _refuse_unknown(env_file)
    _refuse_unsafe(settings)
    return settings


def _refuse_unsafe(settings: Settings) -> None:
    """Settings that are well-formed one by one and together leave the door open, or no door at all."""
    if settings.auth == "none" and not settings.allow_open_network and not is_loopback(settings.corpuscope_host):
        raise SettingsError(
            f"With AUTH=none, everybody who reaches {settings.corpuscope_host} would be you.",
            hint="Set AUTH=local, oidc or supabase; or ALLOW_OPEN_NETWORK=true where only you can reach this machine.",
        )
    if 0 < len(settings.corpuscope_key.get_secret_value()) < _SHORTEST_KEY:
        raise SettingsError(
            f"CORPUSCOPE_KEY has fewer than {_SHORTEST_KEY} characters: it could be guessed.",
            hint='Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"',
        )
    capped = settings.chat_cost_per_conversation or settings.chat_cost_per_day or settings.chat_cost_per_day_in_all
    if not settings.prices and capped:
        raise SettingsError("A cap in money needs CHAT_PRICES.", hint="README.md lists every setting.")
    for choice, names in _needed(settings).items():
        missing = [name.upper() for name in names if not _plain(getattr(settings, name))]
        if missing:
            raise SettingsError(f"{choice} needs {', '.join(missing)} too.", hint="README.md lists every setting.")


def _needed(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The settings without which a chosen one can do nothing."""
    server = ("supabase_url", "supabase_secret_key")
    needed = {
        "AUTH=oidc": ("oidc_metadata_url", "oidc_client_id", "oidc_client_secret"),
        "AUTH=supabase": ("supabase_url", "supabase_publishable_key", "database_url"),
        "ORIGINALS=supabase": server,
        "LIVE_UPDATES=broadcast": (*server, "database_url"),
        "EMBEDDING_PROVIDER=supabase": server,
    }
    chosen = {
        f"{name.upper()}={getattr(settings, name)}"
        for name in ("auth", "originals", "live_updates", "embedding_provider")
    }
    return {choice: names for choice, names in needed.items() if choice in chosen}


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper()
        if problem["type"] == "extra_forbidden":
            lines.append(f"{name} is not a setting of Corpuscope.")
        else:
            secret = "KEY" in name or "SECRET" in name
            shown = "" if secret else _PASSWORD.sub("//…@", f" {problem['input']!r}")
            lines.append(f"{name}{shown} can't be used: {problem['msg'].lower()}.")
    return " ".join(lines)


def _refuse_unknown(env_file: Path | None) -> None:
    """A misspelt CORPUSCOPE_ name in the environment would otherwise be a silent default."""
    import os

    known = {name.upper() for name in Settings.model_fields}
    names = set(os.environ) | set(dotenv_values(env_file) if env_file and env_file.exists() else {})
    unknown = sorted(name for name in names if name.upper().startswith("CORPUSCOPE_") and name.upper() not in known)
    if unknown:
        raise SettingsError(
            f"{', '.join(unknown)} is not a setting of Corpuscope.", hint="README.md lists every setting."
        )
