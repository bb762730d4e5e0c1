"""`corpuscope bench`: the measurements of the folder benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

from rag.commands.cli_output import Output
from rag.errors import CorpuscopeError
from rag.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Run ``python -m benchmarks`` in the repository; 1 if a target is missed."""
    if not (ROOT / "benchmarks" / "__main__.py").exists():
        raise CorpuscopeError("The benchmarks are not installed here.", hint="Run this in a clone of the repository.")
    options = ["--json"] if out.json else []
    options += ["--output", str(arguments.output.absolute())] if arguments.output else []
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, *arguments.names], cwd=ROOT, check=False
    ).returncode
