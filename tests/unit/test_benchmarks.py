"""The runner of the benchmarks: every file can be run, and a row says whether it met its target."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import COLUMNS, FOLDER, judge


@pytest.mark.parametrize(
    ("row", "ok"),
    [
        ({"value": 3.0, "target": "<= 4 s"}, True),
        ({"value": 3.0, "ratio": 1.4, "target": "<= 1.3"}, False),
        ({"ratio": 0.95, "target": ">= 0.92"}, True),
        ({"ratio": 0.95, "target": ">= 0.92", "ok": False}, False),
        ({"value": 3.0}, None),
    ],
)
def test_a_row_is_judged_by_its_ratio_or_else_its_value(row: dict[str, Any], ok: bool | None) -> None:
    assert judge(dict.fromkeys(COLUMNS) | row)["ok"] is ok


@pytest.mark.parametrize("path", sorted(FOLDER.glob("bench_*.py")), ids=lambda path: path.stem)
def test_every_file_has_a_run_that_needs_no_arguments(path: Path) -> None:
    functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    arguments = functions["run"].args
    needed = [argument.arg for argument in arguments.args[: len(arguments.args) - len(arguments.defaults)]]
    assert needed in ([], ["report"])
