"""What the README says is true, as far as a program can know."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bridge.cli import app
from bridge.config import load_config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _verbs() -> list[str]:
    commands = app.registered_commands
    return [command.name or getattr(command.callback, "__name__", "").replace("_", "-") for command in commands]


def _targets() -> list[str]:
    return re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def _blocks(language: str, first_line: str) -> list[str]:
    """The README's blocks of that language whose first line, a comment, names the file they are."""
    return re.findall(rf"^```{language}\n(# {re.escape(first_line)}.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("verb", _verbs())
def test_the_readme_lists_every_verb(verb: str) -> None:
    assert re.search(rf"`(?:sms-bridge )?{re.escape(verb)}\b", README)


@pytest.mark.parametrize("target", [target for target in _targets() if target != "help"])
def test_the_readme_lists_every_make_target(target: str) -> None:
    assert f"`make {target}" in README or f"\nmake {target}" in README


def test_every_make_target_says_what_it_is_for() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    assert phony[1].split() == _targets()


def test_the_configs_in_the_readme_load(tmp_path: Path) -> None:
    blocks = _blocks("yaml", "config.yaml")
    assert blocks
    for block in blocks:
        for secret in re.findall(r"_file: ([^\s,}]+)", block):
            kept = tmp_path / Path(secret).name
            kept.write_text("123456:a-secret-of-nobodys\n", encoding="utf-8")
            kept.chmod(0o600)
            block = block.replace(secret, str(kept))  # noqa: PLW2901 - the block as it would be on this machine
        path = tmp_path / "config.yaml"
        path.write_text(block, encoding="utf-8")
        assert load_config(path, {}).warnings == ()


def test_the_alertmanager_snippet_is_one_that_alertmanager_takes(tmp_path: Path) -> None:
    blocks = _blocks("yaml", "alertmanager.yml")
    assert blocks
    amtool = shutil.which("amtool")
    if not amtool:
        pytest.skip("no amtool on PATH; tests/prepare.sh installs it with Alertmanager")
    for block in blocks:
        path = tmp_path / "alertmanager.yml"
        path.write_text(block, encoding="utf-8")
        check = subprocess.run([amtool, "check-config", path], capture_output=True, text=True, check=False)
        assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)", text)
    anchors = {"#" + re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
               for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}  # fmt: skip
    assert [path for path, _ in links if path and not (ROOT / path).exists()] == []
    assert [anchor for path, anchor in links if not path and anchor not in anchors] == []


def test_the_changelog_has_room_for_what_is_new() -> None:
    assert re.search(r"^## Unreleased$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
