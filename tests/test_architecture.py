"""The layout keeps its promises: imports go down, pages hold no SQL, the library no Streamlit, the app no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted(path for path in (ROOT / "rag").rglob("*.py") if path.name != "__init__.py")
#: Modules are told apart by their last name, which is unique in the library.
MODULES = {path.stem: path for path in LIBRARY}
PAGES = sorted((ROOT / "pages").rglob("*.py"))
SQL = re.compile(
    r"\s*(select\s.+\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from|create\s+(table|function)|alter\s+table|with\s.+\sas\s*\()\b",
    re.IGNORECASE | re.DOTALL,
)
#: Modules that may open connections, start transactions or own pools; all others get `conn` or a database passed in.
OPENERS = {"database", "bootstrap", "postgres"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules that a file imports, and whether that happens when the file itself is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_import = set(_executed_at_import(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node in at_import
            yield from ((f"{node.module}.{alias.name}", node in at_import) for alias in node.names)


def _executed_at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not typing_only:
            yield from _executed_at_import(child)


def own_imports(path: Path) -> set[str]:
    """The modules of `rag` that importing this file imports."""
    found = {name for name, at_import in imports(path) if at_import and name.startswith("rag.")}
    return {other for other, place in MODULES.items() if dotted(place) in found} - {path.stem}


def dotted(path: Path) -> str:
    """The name by which a file is imported."""
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


def test_no_two_modules_have_the_same_name() -> None:
    assert len(MODULES) == len(LIBRARY)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {path.stem: own_imports(path) for path in LIBRARY}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "a cycle: " + " → ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def layers() -> list[list[str]]:
    """The rows of the table in docs/architecture.md, from the bottom up, each as the modules that it names."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", text, flags=re.MULTILINE)
    return [re.findall(r"`([a-z_]+)`", row) for row in rows]


def test_the_layers_of_the_document_exist() -> None:
    missing = [name for row in layers() for name in row if name not in MODULES]
    assert len(layers()) >= 10
    assert not missing, f"docs/architecture.md names modules that don't exist: {missing}"


def test_imports_go_down() -> None:
    height = {name: number for number, row in enumerate(layers()) for name in row}
    upward = [
        f"{path.stem} imports {other}"
        for path in LIBRARY
        for other in sorted(own_imports(path))
        if height.get(other, -1) > height.get(path.stem, len(height))
    ]
    assert not upward, "docs/architecture.md says otherwise"


def test_the_library_knows_no_streamlit_and_no_page() -> None:
    wrong = [
        f"{path.stem} imports {name}"
        for path in LIBRARY
        for name, _ in imports(path)
        if name.split(".")[0] in ("streamlit", "pages", "app")
    ]
    assert not wrong


def test_pages_hold_no_sql() -> None:
    wrong = []
    for path in PAGES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
                wrong.append(f"{path.name}:{node.lineno} {node.value[:60]!r}")
            if isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany", "cursor"):
                wrong.append(f"{path.name}:{node.lineno} calls {node.attr}()")
    assert not wrong


@pytest.mark.parametrize("text", ["select 1 from x", " INSERT into t values", "update t set a = 1", "delete from t"])
def test_sql_is_recognised(text: str) -> None:
    assert SQL.match(text)


@pytest.mark.parametrize("text", ["Delete", "Update the title", "Documents that were inserted", "With a table"])
def test_words_are_not_taken_for_sql(text: str) -> None:
    assert not SQL.match(text)


def test_nothing_imports_a_page() -> None:
    for path in [*LIBRARY, *PAGES]:
        pages = {name.split(".")[1] for name, _ in imports(path) if name.startswith("pages.")}
        assert pages <= {"parts"}, f"{path.name} imports a page: {pages - {'parts'}}"


def test_only_the_database_opens_connections() -> None:
    for path in LIBRARY:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        opened = {"psycopg.connect", "Connection.connect", "ConnectionPool", "psycopg.Connection.connect"} & calls
        assert path.stem in OPENERS or not opened, f"{path.stem} opens connections: {opened}"


def test_only_the_settings_read_the_environment() -> None:
    """Others may set a variable, or hand all of them on to a child (`{**os.environ, …}`), and look at none."""
    wrong = []
    for path in LIBRARY:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        allowed = {id(node) for node in _handed_on(tree)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute) or path.stem == "settings" or id(node) in allowed:
                continue
            if ast.unparse(node) in ("os.environ", "os.getenv", "os.environb"):
                wrong.append(f"{path.name}:{node.lineno}")
    assert not wrong


def _handed_on(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (value for key, value in zip(node.keys, node.values, strict=True) if key is None)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            yield node.value


def run_python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_app_process_has_neither_torch_nor_transformers() -> None:
    """Everything that app.py and the pages import, with what they import inside functions, leaves these out."""
    heavy = "{'torch', 'sentence_transformers', 'transformers', 'umap', 'sklearn'}"
    modules = sorted({dotted(path) for path in PAGES})
    services = sorted({name for path in PAGES for name in own_imports(path)})
    names = [name for name in modules if name.startswith("pages.parts.")] + [dotted(MODULES[name]) for name in services]
    program = f"""
import ast, importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(sorted({heavy} & set(sys.modules)))
"""
    assert run_python(program).strip() == "[]"


def test_searching_from_the_app_imports_no_torch(tmp_path: Path) -> None:
    """The path that embeds a question, up to where it needs the exported model's files."""
    program = f"""
import sys
from pathlib import Path
from rag.vectors.embedders import load_question_encoder
from rag.errors import ModelNotReady
from rag.settings import Settings
try:
    load_question_encoder(Settings(_env_file=None, corpuscope_home=Path({str(tmp_path)!r})))
except ModelNotReady:
    print(sorted({{'torch', 'sentence_transformers', 'transformers'}} & set(sys.modules)))
"""
    assert run_python(program).strip() == "[]"


def test_files_stay_readable_in_size() -> None:
    """About 300 lines at most, as docs/architecture.md's readers expect; tests may be longer."""
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in [*LIBRARY, *PAGES]}
    long = {name: n for name, n in lines.items() if n > 350}
    assert not long, f"split these by their nouns: {long}"
