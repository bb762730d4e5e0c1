"""What a fresh machine installs: every dependency is pinned, to a version that anybody can get."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().split()
    return {normalised(name): version for name, version in (line.split("==") for line in lines)}


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {normalised(re.split(r"[\[<>=!~; ]", name)[0]) for name in named}
    assert names - pins().keys() == set()


def test_no_pin_names_a_local_build() -> None:
    assert [name for name, version in pins().items() if not re.fullmatch(r"[0-9][0-9a-z.]*", version)] == []
