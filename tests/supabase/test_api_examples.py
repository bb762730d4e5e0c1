"""The examples of the instant API do what they say, and the guide shows parts of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supabase.served import Served, read, served
from tests.supabase.stack import Project
from tests.supabase.tools import environment, node, node_modules

EXAMPLES = Path(__file__).parents[2] / "examples" / "api"
GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
QUESTION = "What does the blue whale eat?"
TEXT = "# Whales\n\nThe blue whale is the largest animal. It feeds on krill."


@pytest.fixture(scope="module")
def api(project: Project) -> Iterator[Served]:
    with served(project) as running:
        yield running


def run(api: Served, command: list[str], *, with_vector: bool, folder: Path | None = None) -> list[str]:
    """The lines that an example prints to Alice."""
    project = api.project
    given = {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.publishable_key, "ACCESS_TOKEN": project.alice.token}
    if with_vector:
        given["QUESTION_VECTOR"] = json.dumps([float(value) for value in api.embedder.embed_question(QUESTION)])
    done = subprocess.run(
        command, env=environment() | given, capture_output=True, text=True, timeout=60, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def check(lines: list[str], *, with_vector: bool) -> None:
    """What the tours in JavaScript and Python print."""
    assert lines[0] == "document: ready"
    assert lines[1].split()[:4] == ["hit:", "whales.md", "0", str(len(TEXT))]
    assert lines[1].split()[4].lower() == str(with_vector).lower()
    assert lines[2].startswith("answer: ")
    assert "blue whale" in " ".join(lines[2:])
    sources = [line.split() for line in lines if line.startswith("source:")]
    assert [source[1:3] for source in sources] == [["1", "whales.md"]]
    assert sources[0][3].lower() == "true"


def is_tidy(api: Served) -> bool:
    return read(api.as_alice(), "documents", "id") == []


@pytest.mark.parametrize("with_vector", [False, True])
def test_the_tour_with_supabase_py(api: Served, with_vector: bool) -> None:
    check(run(api, [sys.executable, str(EXAMPLES / "tour.py")], with_vector=with_vector), with_vector=with_vector)
    assert is_tidy(api)


@pytest.mark.parametrize("with_vector", [False, True])
def test_the_tour_with_supabase_js(api: Served, tmp_path: Path, with_vector: bool) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules())
    shutil.copy(EXAMPLES / "tour.mjs", tmp_path)
    lines = run(api, [str(node()), "tour.mjs"], with_vector=with_vector, folder=tmp_path)
    check(lines, with_vector=with_vector)
    assert is_tidy(api)


@pytest.mark.parametrize("with_vector", [False, True])
def test_the_tour_with_curl(api: Served, with_vector: bool) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = run(api, ["sh", str(EXAMPLES / "tour.sh")], with_vector=with_vector)
    assert lines[0] == "document: ready"
    [[hit], [answer]] = [json.loads(line) for line in lines[1:3]]
    assert (hit["document_name"], hit["end_char"], hit["similarity"] is not None) == (
        "whales.md",
        len(TEXT),
        with_vector,
    )
    assert "blue whale" in answer["content"]
    assert [source["document_name"] for source in answer["sources"]] == ["whales.md"]
    assert is_tidy(api)


def test_the_guide_shows_parts_of_the_examples() -> None:
    written = {"js": "tour.mjs", "python": "tour.py"}
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)
    assert {language for language, _ in blocks} == {"js", "python", "sh"}
    for language, block in blocks:
        if language in written:
            assert block in (EXAMPLES / written[language]).read_text(encoding="utf-8"), block


def test_the_guides_request_reads_evaluations(api: Served) -> None:
    [command] = re.findall(r"```sh\n(curl .*?)```", GUIDE, re.DOTALL)
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    [answer] = run(api, ["sh", "-c", command.replace("curl ", "curl --silent --globoff ", 1)], with_vector=False)
    assert json.loads(answer) == []
