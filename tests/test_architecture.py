"""The arrows between the rooms, and who owns which library; the layers themselves stand in pyproject.toml."""

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
OURS = ("bot", "bridge", "storage")

# What only some may import, each with whoever may: a module, or a package with all inside.
OWNERS = {
    "aiogram": ("bot",),
    "aiohttp": ("bot", "bridge.app", "bridge.demo", "bridge.web"),
    "aiosqlite": ("storage",),
    "alembic": ("storage",),
    "anyascii": ("bridge.domain.letters",),
    "apscheduler": ("bridge.ticker",),
    "bot": ("bridge.app", "bridge.demo", "bridge.doctor"),
    "httpx": ("bridge.calendars", "bridge.client", "bridge.heartbeat", "bridge.mobizon", "bridge.silences"),
    "icalendar": ("bridge.calendars",),
    "jinja2": ("bridge.templates",),
    "phonenumbers": ("bridge.domain.phone",),
    "prometheus_client": ("bridge.metrics", "bridge.web"),
    "pydantic": ("bot", "bridge.config", "bridge.web"),  # aiogram speaks it
    "recurring_ical_events": ("bridge.calendars",),
    "rich": ("bridge.cli", "bridge.demo"),
    "ruamel": ("bridge.config", "bridge.rules", "bridge.web"),
    "sqlalchemy": ("storage",),
    "storage": ("bridge.app", "bridge.cli", "bridge.demo", "bridge.doctor", "bridge.explain"),
    "structlog": ("bridge.logs",),
    "typer": ("bridge.cli", "bridge.demo"),
    "uvloop": ("bridge.app", "bridge.cli"),
}
FREE = {"orjson"}  # a faster json; anybody but the domain


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)


def _inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def test_the_layers_hold() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_every_module_has_its_layer() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layered = {name for layer in settings["contracts"][0]["layers"] for name in re.split(r" [|:] ", layer)}
    there = {f"bridge.{module.name}" for module in pkgutil.iter_modules([ROOT / "bridge"])} | {"bot", "storage"}
    assert there - {"bridge.__main__"} == layered


@pytest.mark.parametrize("name", OWNERS)
def test_a_library_is_imported_only_by_the_edge_that_owns_it(graph: grimp.ImportGraph, name: str) -> None:
    theirs = {module for module in graph.modules if _inside(module, name)}
    importers = {importer for module in theirs for importer in graph.find_modules_that_directly_import(module)}
    assert [importer for importer in sorted(importers) if not _inside(importer, name, *OWNERS[name])] == []


def test_every_library_has_an_owner(graph: grimp.ImportGraph) -> None:
    external = {module.split(".")[0] for module in graph.modules if graph.is_module_squashed(module)}
    assert external - set(sys.stdlib_module_names) - OWNERS.keys() == FREE & external


def test_the_domain_needs_nothing_but_itself_and_two_pure_libraries(graph: grimp.ImportGraph) -> None:
    domain = {module for module in graph.modules if _inside(module, "bridge.domain")}
    imported = {name for module in domain for name in graph.find_modules_directly_imported_by(module)} - domain
    assert {name for name in imported if name not in sys.stdlib_module_names} <= {"anyascii", "phonenumbers"}


def test_the_verbs_that_need_no_bot_do_not_pay_for_aiogram() -> None:
    check = "import sys, bridge.cli; sys.exit('aiogram' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0


# Each asks the system for the time, or waits for it to pass.
_ASKS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"},
    "asyncio": {"sleep"},
}


def _questions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                if name in _ASKS.get(owner, ()):
                    yield f"line {node.lineno}: {owner}.{name}"
            case ast.ImportFrom(module=owner, names=names):
                for alias in names:
                    if alias.name in _ASKS.get(owner or "", ()):
                        yield f"line {node.lineno}: from {owner} import {alias.name}"


@pytest.mark.parametrize(
    "code",
    [
        "datetime.now(UTC)",
        "datetime.datetime.now(UTC)",
        "field(default_factory=time.monotonic)",
        "from time import monotonic",
        "await asyncio.sleep(1)",
    ],
)
def test_asking_for_the_time_is_noticed(code: str) -> None:
    assert len(list(_questions(ast.parse(code)))) == 1


def test_only_the_clock_knows_what_time_it_is() -> None:
    asked = {
        path.relative_to(ROOT).as_posix(): questions
        for folder in OURS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (questions := list(_questions(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert list(asked) == ["bridge/clock.py"], asked


# Nobody's: our own for tests (too short and too long ones too) and for the example, three ranges that are
# reserved for fiction, and codes where no person has a phone: unassigned, premium, satellite.
_NOBODYS = (
    *("7701000xxx", "7701000xxxx", "7701000xxxxx", "4915112345678"),
    *("1xxx55501xx", "447700900xxx", "493023125xxx"),
    *("999xxxxxxxxx", "979xxxxxxxxx", "8816xxxxxxxxx", "7809xxxxxxx"),
)
_FICTION = re.compile(
    r"\+?(?:"
    + "|".join("[ ()-]{0,2}".join(r"\d" if digit == "x" else digit for digit in number) for number in _NOBODYS)
    + r")(?!\d)"
)
_NUMBER = re.compile(r"\+\d(?:[ ()-]{0,2}\d){8,14}|(?<![\w.+-])77\d{9}(?![\w.])")
# Written in pieces: this file is read too.
_PLACES = re.compile("/" + r"(?:work|root|home/\w+|opt/wheels)/|(?:extra-)?index" + r"-url|/simple/?\b(?=[\"'\s]|$)")


def _files() -> list[Path]:
    """Everything that is committed or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(
    ("text", "strangers"),
    [
        ("+77010000001 +77010009999 +7 701 000 00 01 77010000001 +4915112345678 +12125550123 +447700900123", 0),
        ("call +77" + "012345678", 1),
        ("call +7 701 " + "234 56 78", 1),
        ('"recipient": "77' + '012345678"', 1),
    ],
)
def test_a_number_that_could_be_somebodys_is_noticed(text: str, strangers: int) -> None:
    assert len(_strangers(text)) == strangers


def _strangers(text: str) -> list[str]:
    return _NUMBER.findall(_FICTION.sub("a number", text))


def test_no_file_tells_of_a_machine_or_of_somebodys_phone() -> None:
    told = []
    for path in _files():
        if path.suffix == ".lock":
            continue  # hashes; the index is kept out of it by `make lock`
        text = path.read_text(encoding="utf-8", errors="replace")
        told += [f"{path.relative_to(ROOT)}: {found}" for found in [*_PLACES.findall(text), *_strangers(text)]]
    assert told == []
