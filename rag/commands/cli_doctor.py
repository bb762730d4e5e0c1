"""`corpuscope doctor`: whether the installation holds, and what to do where it doesn't."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from rag.commands.cli_output import Output
from rag.doctor.checkup import Check
from rag.doctor.examining import examine
from rag.settings import Settings

_MARKS = {"ok": "ok     ", "warn": "warn   ", "fail": "FAIL   ", "skipped": "-      "}


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print every answer as it comes, with JSON all at the end; 1 if something failed."""
    checks = []
    for check in examine(settings, out.show):
        out.clear()
        out.write(_text(check) + "\n")
        checks.append(check)
    counts = {state: sum(check.state == state for check in checks) for state in _MARKS}
    value = {"checks": [asdict(check) for check in checks], **counts}
    out.result(value, f"\nHold: {counts['ok']}, warnings: {counts['warn']}, failures: {counts['fail']}.")
    return 1 if counts["fail"] else 0


def _text(check: Check) -> str:
    lines = [f"{_MARKS[check.state]}{check.question:<17} {check.words}"]
    if check.next_step and check.state in ("warn", "fail"):
        lines.append(f"{'':<24} → {check.next_step}")
    return "\n".join(lines)
