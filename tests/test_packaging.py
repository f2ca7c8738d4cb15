"""What is shipped: the locks agree, and the Dockerfile's own steps give something that runs as nobody."""

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge import __version__

ROOT = Path(__file__).parent.parent
NOBODY = 10001


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_what_runs_is_what_was_tested() -> None:
    assert _pins("requirements-run.lock").items() <= _pins("requirements.lock").items()


def test_the_running_lock_leaves_the_tools_at_home() -> None:
    assert {"pytest", "ruff", "mypy", "hatchling"}.isdisjoint(_pins("requirements-run.lock"))


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-run.lock"])
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert [name for name, block in re.findall(r"^(\S+==[^\n]*)\n((?:[ #][^\n]*\n?)*)", text, re.MULTILINE)
            if "--hash=sha256:" not in block] == []  # fmt: skip


@dataclass
class Stage:
    """One FROM of the Dockerfile."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [argument for name, argument in self.steps if name == instruction]


def _stages() -> list[Stage]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            stages.append(Stage(argument))
        elif instruction:
            stages[-1].steps.append((instruction, " ".join(argument.split())))
    return stages


def test_the_image_runs_as_nobody_keeps_only_data_and_says_when_it_is_ill() -> None:
    final = _stages()[-1]
    assert final.all("USER") == [f"{NOBODY}:{NOBODY}"]
    assert final.all("VOLUME") == ["/data"]
    assert final.all("EXPOSE") == ["9877"]
    assert "/-/healthy" in final.all("HEALTHCHECK")[0]
    assert final.all("RUN") == []  # so what the builder's steps give, proven below, is all there is


@pytest.fixture
def folder() -> Iterator[Path]:
    """Clean, and open to everybody: pytest's own folders are closed to other users."""
    path = Path(tempfile.mkdtemp(prefix="sms-bridge-image-"))
    path.chmod(0o755)
    yield path
    for inner in [path, *path.rglob("*")]:
        if inner.is_dir() and not inner.is_symlink():
            inner.chmod(0o755)
    shutil.rmtree(path)


def test_the_steps_of_the_dockerfile_give_a_program_that_an_unprivileged_user_runs_from_a_read_only_tree(
    folder: Path,
) -> None:
    builder, final = _stages()[-2:]
    python, nobody = _python_for_nobody()
    tools = folder / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(python)
    environment = {**os.environ, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    where = folder

    for instruction, argument in builder.steps:
        match instruction:
            case "WORKDIR":
                where = folder / argument.strip("/")
                where.mkdir(parents=True)
            case "ENV":
                environment |= dict(pair.split("=", 1) for pair in shlex.split(argument))
            case "COPY" if "--from" not in argument:
                *names, target = argument.split()
                for name in names:
                    _copy(ROOT / name, where / target if len(names) == 1 else where)
            case "RUN":
                _run(re.sub(r"(?<=\s)/(opt|data)\b", rf"{folder}/\1", argument), where, environment)

    shutil.rmtree(folder / "src")
    _make_read_only(folder / "opt")
    program, *_ = shlex.split(final.all("ENTRYPOINT")[0].strip("[]"))
    said = subprocess.run(
        [folder / "opt/sms-bridge/bin" / program, "--version"],
        cwd=folder / "data",
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        **nobody,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert __version__ in said.stdout


def _run(command: str, where: Path, environment: Mapping[str, str]) -> None:
    """As the image would; from uv's cache alone where that is enough, else with the network."""
    steps = command.split(" && ")
    for step in steps:
        for offline in ("1", "0"):
            done = subprocess.run(
                ["/bin/sh", "-ec", step],
                cwd=where,
                env={**environment, "UV_OFFLINE": offline},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                break
        assert done.returncode == 0, f"{step}\n{done.stderr}"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _make_read_only(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def _python_for_nobody() -> tuple[Path, dict[str, Any]]:
    """A Python that the unprivileged user may start, and how to become that user; root only can."""
    if os.geteuid() != 0:
        return Path(sys.executable).resolve(), {}
    become: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    for python in (Path(sys.executable).resolve(), *map(Path, ("/usr/bin/python3", "/usr/local/bin/python3"))):
        asked = [str(python), "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(asked, check=False, capture_output=True, **become).returncode == 0:
                return python, become
        except OSError:
            continue  # not there, or in somebody's home
    pytest.fail("root's Python is closed to other users, and there is no /usr/bin/python3 of 3.11 or newer")
