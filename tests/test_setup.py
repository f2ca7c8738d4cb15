"""`make setup` on machines that are not ours: new, set up already, too old, without venv."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_SHELL = ("cat", "cksum", "cut", "date", "dirname", "env", "grep", "mktemp", "rm", "sh")
_BUILDS_US = {"hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"}


def _set_up(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "setup.sh"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Our project with a lock of what builds it and nothing more: quick, and in uv's cache since the set-up."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("setup.sh", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for package in ("bot", "bridge", "storage"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").touch()
    pins = re.split(r"^(?=\S+==)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    (folder / "requirements.lock").write_text(
        "".join(pin for pin in pins if pin.partition("==")[0] in _BUILDS_US), encoding="utf-8"
    )
    return folder


def test_the_second_time_nothing_is_left_to_do_and_no_network_is_needed(project: Path) -> None:
    uv_is_there = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    first = _set_up(project, **uv_is_there)
    assert first.returncode == 0, first.stderr
    assert re.fullmatch(r"Setting up, first time only: .* done in \d+ s\n", first.stdout)

    again = _set_up(project, PIP_NO_INDEX="1", UV_OFFLINE="1")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    with (project / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("# newer\n")
    changed = _set_up(project, **uv_is_there, UV_OFFLINE="1")
    assert changed.stdout.startswith("Setting up again, something changed: ")
    assert changed.returncode == 0, changed.stderr


def test_a_set_up_that_failed_is_not_taken_for_one(project: Path) -> None:
    broken = {"python3": "echo Python 3.11.7", "uv": "test $1 = --version || { echo no such package; exit 1; }"}
    machine = _machine(project, broken)
    for _ in range(2):
        failed = _set_up(project, PATH=machine)
        assert failed.returncode == 1
        assert (
            failed.stderr == "no such package\nsetup: installing requirements.lock failed; what it said stands above\n"
        )


_OLD = 'case "$*" in --version) echo Python 3.10.13;; esac; exit 1'
_NO_VENV = 'case "$*" in *ensurepip*) exit 1;; esac; exit 0'


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        ({}, "needs Python 3.11 to 3.14; python3 here is: "),
        ({"python3": _OLD}, "needs Python 3.11 to 3.14; python3 here is: Python 3.10.13"),
        ({"python3": _NO_VENV}, "python3 comes without venv and ensurepip; install a Python that has them"),
        (
            {"python3": _NO_VENV, "apt-get": "exit 1", "id": "echo 1000"},
            "python3 comes without venv; run this once: sudo apt-get install -y python3-venv",
        ),
        (
            {"python3": _NO_VENV, "apt-get": 'echo apt-get "$@"; exit 1', "id": "echo 0"},
            "apt-get install -y --no-install-recommends python3-venv\nsetup: apt-get install python3-venv failed",
        ),
    ],
)
def test_a_machine_that_lacks_something_is_told_what(project: Path, machine: Mapping[str, str], says: str) -> None:
    told = _set_up(project, PATH=_machine(project, machine))

    assert told.returncode == 1
    assert says in told.stderr


def _machine(project: Path, programs: Mapping[str, str]) -> str:
    """A PATH with the plain tools and these scripts."""
    folder = project / "bin"
    folder.mkdir()
    for name in _SHELL:
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)
