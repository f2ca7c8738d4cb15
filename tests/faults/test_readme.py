"""The table of faults names tests that are there, and leaves none of this folder out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TABLE = (HERE / "README.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w./]+\.py)::(\w+)`", TABLE))


def functions_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def test_every_test_that_is_named_is_there() -> None:
    there = {(name, test) for name, _ in NAMED for test in functions_of(HERE / name)}
    assert NAMED - there == set()


def test_every_test_here_is_named() -> None:
    here = {(file.name, test) for file in HERE.glob("test_*.py") for test in functions_of(file)}
    assert here - NAMED == set()


def test_every_fault_has_its_row() -> None:
    rows = re.findall(r"^\| F(\d+)(?:–F(\d+))? \|", TABLE, re.MULTILINE)
    assert [n for first, last in rows for n in range(int(first), int(last or first) + 1)] == list(range(1, 43))
