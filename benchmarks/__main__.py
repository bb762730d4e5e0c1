"""All measurements: ``python -m benchmarks [NAME…] [--json] [--output FILE]``; 1 if a target is missed.

A measurement is a file ``bench_<name>.py`` with ``run()``, which returns its rows, or ``run(report)``, which reports
them: ``name``, ``value``, ``unit``, ``ratio``, ``target`` and ``ok``; without a target ``ok`` is None. Each
file runs in a process of its own, so that none inherits the memory or the threads of another.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from rag.commands.cli_output import table

FOLDER = Path(__file__).resolve().parent
COLUMNS = ("name", "value", "unit", "ratio", "target", "ok")
_LIMIT_S = 3600

Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", help="files without bench_ and .py; all without a name")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the rows there as JSON too")
    parser.add_argument("--only", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only)))
        return 0
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    unknown = sorted(set(arguments.names) - set(known))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    rows = [row for name in known if name in (arguments.names or known) for row in _measure_apart(name)]
    if arguments.output:
        arguments.output.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    print(json.dumps({"rows": rows}) if arguments.json else _table(rows))
    return 1 if any(row.get("ok") is False for row in rows) else 0


def measure(name: str) -> list[Row]:
    """The rows of one file, each with all columns."""
    run = importlib.import_module(f"benchmarks.bench_{name}").run
    rows: list[Row] = []
    if "report" in inspect.signature(run).parameters:
        run(rows.append)
    else:
        found = run()
        rows.extend([found] if isinstance(found, dict) else found)
    return [judge(dict.fromkeys(COLUMNS) | row) for row in rows]


def judge(row: Row) -> Row:
    """Fill in ``ok`` where a row leaves it out: its ratio, or else its value, against a target like ">= 0.99"."""
    found = re.match(r"(<=|>=)\s*([0-9.]+)", str(row["target"] or ""))
    measured = row["ratio"] if row["ratio"] is not None else row["value"]
    if row["ok"] is None and found and measured is not None:
        limit = float(found[2])
        row["ok"] = measured <= limit if found[1] == "<=" else measured >= limit
    return row


def _measure_apart(name: str) -> list[Row]:
    print(f"Measuring {name}…", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks", "--only", name]
    try:
        done = subprocess.run(
            command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=True, timeout=_LIMIT_S
        )
        rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError):
        traceback.print_exc(limit=1)
        return [dict.fromkeys(COLUMNS) | {"name": f"{name}: the measurement itself failed", "ok": False}]
    return rows


def _table(rows: list[Row]) -> str:
    return table([[_cell(row[column]) for column in COLUMNS] for row in rows], COLUMNS)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "MISSED"
    return f"{value:,.3g}" if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
