"""The data folder of the embedded Postgres: how it is made, where its socket is, the settings it starts with."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from rag.errors import DatabaseError
from rag.store.system_account import Owner, check_programs, name_of, program

MAJOR_VERSION = "18"
SUPERUSER = "supabase_admin"

#: The longest path that a Unix socket may have everywhere (Linux 107 bytes, macOS 103).
_SOCKET_PATH_BYTES = 103
_SOCKET_NAME = ".s.PGSQL.5432"
_LEAST_FREE_BYTES = 300 * 2**20
_MB = 2**20


def make_cluster(data: Path, owner: Owner, on_progress: Callable[[str], None], *, durable: bool) -> None:
    """Make the data folder if it is missing. Built beside its place and renamed, so a half-made one never counts."""
    if data.exists():
        _check_version(data)
        return
    on_progress("Setting up the database for the first time…")
    if shutil.disk_usage(data.parent).free < _LEAST_FREE_BYTES:
        raise DatabaseError(
            f"The disk of {data.parent} is almost full: the database needs at least 300 MB.",
            hint="Free some space, or point CORPUSCOPE_HOME at another disk.",
        )
    check_programs(owner)
    draft = data.with_name(data.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    owner.give(draft)
    _initialise(draft, owner, durable)
    draft.rename(data)


def _initialise(draft: Path, owner: Owner, durable: bool) -> None:
    command = [program("initdb"), "-D", str(draft), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    command += ["--data-checksums", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    command += ["--sync-method=fsync"] if durable else ["--no-sync"]
    # C.UTF-8 tells text search which characters are letters; where the system lacks it, all of them above ASCII are.
    for character_types in ("--lc-ctype=C.UTF-8", "--lc-ctype=C"):
        done = owner.run([*command, character_types])
        if done.returncode == 0:
            break
        shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        owner.give(draft)
    else:
        raise DatabaseError(f"The database could not be set up. {explain(done.stderr)}")
    with (draft / "postgresql.conf").open("a") as settings:
        settings.write("\ninclude_if_exists = 'corpuscope.conf'\n")


def _check_version(data: Path) -> None:
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise DatabaseError(
            f"The folder {data} is not a database, or can't be read: {error.strerror}.",
            hint="Move it away, or point CORPUSCOPE_HOME at another folder.",
        ) from error
    if version != MAJOR_VERSION:
        raise DatabaseError(
            f"The database in {data} was made by Postgres {version}; this Corpuscope brings Postgres {MAJOR_VERSION}.",
            hint="Start the Corpuscope that made it, or upgrade the folder with pg_upgrade.",
        )


def find_socket_folder(data: Path, owner: Owner) -> Path:
    """The data folder itself (0700), or a private short one where its path is too long for a socket."""
    if _fits(data):
        return data
    name = f"corpuscope-{owner.uid}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):
        folder = parent / name
        if _fits(folder):
            _make_socket_folder(folder, owner)
            return folder
    raise DatabaseError(
        f"The path of {data} is too long for a socket, and so is that of {tempfile.gettempdir()}.",
        hint="Point CORPUSCOPE_HOME at a folder with a shorter path.",
    )


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES


def _make_socket_folder(folder: Path, owner: Owner) -> None:
    try:
        folder.mkdir(mode=0o700)
        owner.give(folder)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.uid or found.st_mode & 0o077:
            raise DatabaseError(
                f"{folder} exists but is not a private folder of {name_of(owner.uid)}.", hint="Remove it."
            ) from None


def write_settings(data: Path, socket_folder: Path, owner: Owner, *, durable: bool) -> None:
    """Write ``corpuscope.conf``: what suits this machine today. ``alter system`` still overrides it."""
    quoted = {name: str(value).replace("'", "''") for name, value in server_settings(socket_folder).items()}
    if not durable:
        quoted |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    path = data / "corpuscope.conf"
    path.write_text("".join(f"{name} = '{value}'\n" for name, value in quoted.items()))
    owner.give(path)


def server_settings(socket_folder: Path) -> dict[str, object]:
    """Settings for a server that shares the machine with an app and an embedding model."""
    memory = psutil.virtual_memory().total // _MB
    maintenance = _between(memory // 16, 64, 1024)
    return {
        "listen_addresses": "",
        "unix_socket_directories": socket_folder,
        "unix_socket_permissions": "0700",
        "cluster_name": "corpuscope",
        "max_connections": 100,
        "shared_buffers": f"{_between(memory // 8, 128, 2048)}MB",
        "effective_cache_size": f"{max(memory // 2, 256)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{maintenance}MB",
        "dynamic_shared_memory_type": _shared_memory_type(maintenance),
        "jit": "off",
        "random_page_cost": 1.1,
        "max_wal_size": "2GB",
        "checkpoint_timeout": "10min",
        "autovacuum_naptime": "20s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "log_startup_progress_interval": "2s",
        "log_line_prefix": "%m [%p] %q%a ",
    }


def _between(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))


def _shared_memory_type(maintenance_mb: int) -> str:
    # A parallel HNSW build shares maintenance_work_mem; containers often give /dev/shm only 64 MB.
    try:
        roomy = shutil.disk_usage("/dev/shm").free > 2 * maintenance_mb * _MB
    except OSError:
        return "mmap"
    return "posix" if roomy else "mmap"


_EXPLANATIONS = {
    "No space left on device": "The disk is full. Free some space and start again.",
    "could not resize shared memory": "The machine has too little shared memory.",
    "Cannot allocate memory": "The machine has too little free memory.",
    "could not map anonymous shared memory": "The machine has too little free memory.",
    "wrong ownership": "The data folder belongs to another user.",
    "Permission denied": "A file of the database can't be read or written by this user.",
    "Read-only file system": "The disk is read-only.",
    "is not compatible with this version": "The data folder was made by another version of Postgres.",
    "could not create any Unix-domain sockets": "The socket could not be created.",
    "lock file": "Another server uses the same data folder.",
    "could not locate a valid checkpoint record": "The data folder is damaged. Restore it from a backup.",
}


def explain(said: str) -> str:
    """Plain words for what Postgres printed: a known cause, or its own last words."""
    for sign, words in _EXPLANATIONS.items():
        if sign in said:
            return words
    lines = [line for line in said.splitlines() if any(level in line for level in ("FATAL", "PANIC", "error:"))]
    return f"Postgres said: {(lines or said.splitlines() or ['nothing'])[-1].strip()}"
