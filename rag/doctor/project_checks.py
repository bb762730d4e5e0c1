"""The servers of a Supabase project beside its database: keys, Auth, Data API, Storage, Realtime, Edge Functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect as open_socket

from rag.chat.broadcast_hints import CHANNEL
from rag.doctor.checkup import Check, fail, listed, ok, skipped, warn
from rag.doctor.line_checks import judge_clocks
from rag.doctor.project_line import ProjectLine, claims_of
from rag.settings import Settings

_JOIN_S = 10.0
_FUNCTIONS = ("embed", "ask")
#: A schema that no project exposes: asked for it, the Data API lists those that it does.
_NO_SCHEMA = "corpuscope_doctor"
_LISTS = re.compile(r"(?:following|exposed): *([\w, ]+)")
#: Of the platform's own, harmless without tables of ours in them.
_HARMLESS = {"graphql_public"}


def check_project(line: ProjectLine) -> Check:
    """That it answers, and by a clock like ours."""
    answer = line.ask("/auth/v1/health")
    if answer.status >= 500:
        return fail("project", f"{line.url} answers with status {answer.status}.", "See the project's status page.")
    if answer.server_time is None:
        return ok("project", f"{line.url} answers.")
    # Its header counts whole seconds.
    clocks = judge_clocks("project", "the project", answer.server_time, answer.asked_at, answer.came_at)
    return ok("project", f"{line.url} answers. {clocks.words}") if clocks.state == "ok" else clocks


def check_keys(line: ProjectLine) -> Check:
    """That both keys are this project's, and neither is in the other's place."""
    problem = _misplaced(line)
    if problem is not None:
        return problem
    said = []
    if line.publishable_key:
        if line.ask("/auth/v1/settings").status in (401, 403):
            return fail("keys", "The project refuses SUPABASE_PUBLISHABLE_KEY.", "Copy it again: Settings → API keys.")
        said.append("the publishable key")
    if line.secret_key:
        if line.ask("/auth/v1/admin/users?per_page=1", secret=True).status in (401, 403):
            return fail("keys", "The project refuses SUPABASE_SECRET_KEY.", "Copy it again: Settings → API keys.")
        said.append("the secret key")
    if not said:
        return warn("keys", "No key is set.", "Set SUPABASE_PUBLISHABLE_KEY: Settings → API keys.")
    return ok("keys", f"The project takes {' and '.join(said)}.")


def _misplaced(line: ProjectLine) -> Check | None:
    if _is_secret(line.publishable_key):
        return fail(
            "keys",
            "SUPABASE_PUBLISHABLE_KEY holds a secret key: every browser would be given all rights.",
            "Replace that key in the project now, then set the publishable (or anon) one.",
        )
    if line.secret_key and not _is_secret(line.secret_key):
        return fail("keys", "SUPABASE_SECRET_KEY holds a publishable key.", "Set the secret (or service_role) one.")
    project = (urlsplit(line.url).hostname or "").partition(".")[0]
    for name, key in (("PUBLISHABLE", line.publishable_key), ("SECRET", line.secret_key)):
        whose = claims_of(key).get("ref")
        if whose and whose != project:
            return fail("keys", f"SUPABASE_{name}_KEY is of project {whose}, not {project}.", "Copy this project's.")
    return None


def _is_secret(key: str) -> bool:
    claims = claims_of(key)
    return key.startswith("sb_secret_") or claims.get("role") == "service_role"


def check_sign_in(line: ProjectLine, settings: Settings) -> Check:
    """That the project's Auth offers what the sign-in page will, and that an address there is somebody's own."""
    if settings.auth != "supabase":
        return skipped("sign-in", f"AUTH={settings.auth}: the project's accounts are not used.")
    answer = line.ask("/auth/v1/settings")
    if answer.status != 200:
        return fail(
            "sign-in", f"The project's Auth answers with status {answer.status}.", "Check SUPABASE_URL and key."
        )
    offered = {name for name, on in dict(answer.body.get("external") or {}).items() if on is True}
    wanted = [name.strip() for name in settings.supabase_oauth.split(",") if name.strip()]
    lacking = [name for name in wanted if name not in offered]
    if lacking:
        return fail(
            "sign-in",
            f"SUPABASE_OAUTH names what the project has not enabled: {listed(lacking)}.",
            "Enable it under Authentication → Sign In / Providers, or take it out.",
        )
    return _judge_accounts(answer.body, offered)


def _judge_accounts(said: Mapping[str, Any], offered: set[str]) -> Check:
    if "email" in offered and said.get("mailer_autoconfirm") is True:
        return warn(
            "sign-in",
            "Addresses are not confirmed: whoever types somebody's address gets what that person is invited to.",
            "Turn on Confirm email under Authentication → Sign In / Providers → Email.",
        )
    if not offered:
        return fail("sign-in", "The project offers no way to sign in.", "Enable e-mail or a provider.")
    closed = " Sign-up is closed there: accounts are made by invitation." if said.get("disable_signup") else ""
    return ok("sign-in", f"Ways in: {listed(sorted(offered))}.{closed}")


def check_exposed(line: ProjectLine) -> Check:
    """Which schemas the Data API shows: ``api`` and nothing of ours beside."""
    # By its own header: without one the whole description of the default schema would come.
    answer = line.ask("/rest/v1/collections", headers={"Accept-Profile": _NO_SCHEMA})
    said = f"{answer.body.get('message') or ''}\n{answer.body.get('hint') or ''}"
    found = _LISTS.search(said)
    if answer.status in (404, 502, 503) and found is None:
        return skipped("exposed schemas", "The Data API is off: nothing is exposed, and the instant API isn't there.")
    if found is None:
        return fail(
            "exposed schemas",
            f"The Data API answers with status {answer.status}.",
            "Check the key and Settings → Data API.",
        )
    shown = {name.strip() for name in found[1].split(",") if name.strip()}
    ours = sorted(shown & {"public", "corpuscope", "pgmq", "pgmq_public"})
    step = "Let Settings → Data API → Exposed schemas hold api alone; or run supabase config push."
    if ours:
        return fail("exposed schemas", f"Exposed beyond docs/api.md: {listed(ours)}.", step)
    if "api" not in shown:
        return warn("exposed schemas", f"Exposed: {listed(sorted(shown)) or 'nothing'}. The instant API isn't.", step)
    others = sorted(shown - {"api"} - _HARMLESS)
    if others:
        return warn("exposed schemas", f"Besides api: {listed(others)}.", "Make sure that these are meant to be.")
    return ok("exposed schemas", f"{listed(sorted(shown))}.")


def check_bucket(line: ProjectLine, settings: Settings) -> Check:
    """That the bucket for originals is there and private."""
    wanted = settings.originals == "supabase"
    if not line.secret_key:
        return skipped("storage", "SUPABASE_SECRET_KEY isn't set; originals are kept in the database.")
    answer = line.ask(f"/storage/v1/bucket/{quote(settings.supabase_bucket)}", secret=True)
    name = f"The bucket “{settings.supabase_bucket}”"
    if answer.status == 200 and answer.body.get("public"):
        return fail(
            "storage",
            f"{name} is public: whoever has an address reads files.",
            "Make it private: Storage → Edit bucket.",
        )
    if answer.status == 200:
        limit = answer.body.get("file_size_limit")
        if limit and int(limit) < settings.max_file_mb * 2**20:
            step = "Raise its limit, or lower MAX_FILE_MB."
            return warn("storage", f"{name} takes files of {int(limit) / 2**20:.0f} MB at most.", step)
        return ok("storage", f"{name} is there and private. ORIGINALS={settings.originals}.")
    missing = answer.status == 404 or str(answer.body.get("statusCode")) == "404"
    if missing and not wanted:
        return skipped("storage", f"There is no bucket “{settings.supabase_bucket}”; ORIGINALS=database needs none.")
    if missing:
        return warn("storage", f"{name} isn't there yet.", "A worker makes it, private; or make it under Storage.")
    report = fail if wanted else warn
    return report("storage", f"Storage answers with status {answer.status}.", "Check SUPABASE_SECRET_KEY.")


def check_functions(line: ProjectLine, settings: Settings) -> Check:
    """Which of our Edge Functions are deployed; asked as a browser asks before it asks."""
    asked = {"Origin": line.url, "Access-Control-Request-Method": "POST"}
    states = {name: line.ask(f"/functions/v1/{name}", method="OPTIONS", headers=asked).status for name in _FUNCTIONS}
    missing = [name for name, status in states.items() if status in (404, 503)]
    broken = [name for name, status in states.items() if status >= 500 and status != 503]
    if broken:
        return fail("functions", f"Failing: {listed(broken)}.", "See its log under Edge Functions.")
    if "embed" in missing and settings.embedding_provider == "supabase":
        return fail(
            "functions",
            "EMBEDDING_PROVIDER=supabase needs embed, which isn't deployed.",
            "supabase functions deploy embed",
        )
    if missing:
        return skipped(
            "functions", f"Not deployed: {listed(missing)}. Only what docs/supabase.md says of them needs them."
        )
    return ok("functions", f"Deployed: {listed(states)}.")


def check_realtime(line: ProjectLine, settings: Settings) -> Check:
    """That the server's own channel can be joined: what the app does to hear of changes."""
    if not line.secret_key:
        return skipped("realtime", "SUPABASE_SECRET_KEY isn't set; pages hear of changes by LISTEN or by looking.")
    report = fail if settings.live_updates == "broadcast" else warn
    try:
        status, why = _join(line)
    except InvalidStatus as error:
        status, why = "refused", f"status {error.response.status_code}"
    except (OSError, TimeoutError, WebSocketException) as error:
        status, why = "unreachable", type(error).__name__
    if status == "ok":
        return ok("realtime", f"The server's channel can be joined. LIVE_UPDATES={settings.live_updates}.")
    return report(
        "realtime", f"The server's channel can't be joined ({why}).", "Check Realtime → Settings and the secret key."
    )


def _join(line: ProjectLine) -> tuple[str, str]:
    """Phoenix' own handshake, once; the reply's status and reason."""
    address = f"{line.url.replace('http', 'ws', 1)}/realtime/v1/websocket?apikey={quote(line.secret_key)}&vsn=1.0.0"
    config = {
        "private": True,
        "broadcast": {"ack": False, "self": False},
        "presence": {"key": ""},
        "postgres_changes": [],
    }
    payload = {"config": config, "access_token": line.secret_key}
    with open_socket(address, open_timeout=_JOIN_S, proxy=None) as socket:
        join = {"topic": f"realtime:{CHANNEL}", "event": "phx_join", "payload": payload, "ref": "1", "join_ref": "1"}
        socket.send(json.dumps(join))
        while True:
            said = json.loads(socket.recv(timeout=_JOIN_S))
            if said.get("event") == "phx_reply" and said.get("ref") == "1":
                reply = said["payload"]
                return str(reply.get("status")), str(dict(reply.get("response") or {}).get("reason", "refused"))
