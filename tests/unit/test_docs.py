"""What the product has is documented: every setting, command and page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rag.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_has_a_row_in_the_readme(name: str) -> None:
    assert f"| `{name.upper()}` |" in README, f"README.md's settings table lacks {name.upper()}"


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|", README, flags=re.MULTILINE)
    assert rows
    assert {row.lower() for row in rows} <= set(Settings.model_fields)


def test_settings_rows_carry_the_description_of_the_field() -> None:
    for name, field in Settings.model_fields.items():
        assert (field.description or "") in README, f"{name.upper()} is described differently in README.md"


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "pages").glob("*.py")))
def test_every_page_is_in_the_guide_and_has_a_screenshot_in_the_readme(page: str) -> None:
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8").lower()
    assert f"## {page.replace('_', ' ')}" in guide
    shots = re.findall(r"docs/screenshots/([a-z0-9_-]+)\.png", README)
    assert any(shot.startswith(page.replace("_", "-")) for shot in shots), f"README.md shows no screenshot of {page}"


def test_every_picture_that_the_docs_show_exists() -> None:
    for text, base in ((README, ROOT), ((ROOT / "docs" / "guide.md").read_text(encoding="utf-8"), ROOT / "docs")):
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (base / target).exists(), f"{target} is missing"


def test_every_module_is_in_the_map() -> None:
    for path in sorted((ROOT / "rag").rglob("*.py")):
        if path.stem not in {"__init__", "__main__"}:
            assert f"`{path.stem}`" in README, f"README.md's module map lacks {path.stem}"
