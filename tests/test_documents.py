"""What the README says is true, as far as a program can know."""

import json
import re
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bridge.cli import app
from bridge.config import Config, load_config
from bridge.explain import explain, hour_of
from tests.edges.cli_scene import typed
from tests.world import firing

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


def _load(folder: Path, text: str) -> Config:
    """A config of the README, with secrets where it says that they are."""
    for secret in dict.fromkeys(re.findall(r"_file: ([^\s,}]+)", text)):
        kept = folder / secret
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("https://switch.example.net/1\n" if "_url" in secret else "123456:a-secret-of-nobodys\n")
        kept.chmod(0o600)
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return load_config(path, {})


def _sections(text: str) -> dict[str, str]:
    """What stands below each key at the start of a line, the key included."""
    return {key: whole for whole, key in re.findall(r"^((\w+):.*\n(?:[ #\n].*\n?|\n)*)", text, re.MULTILINE)}


def _recipe(name: str) -> str:
    """The usual config with the recipe's sections in the place of its own."""
    (recipe,) = _blocks("yaml", f"recipe: {name}\n")
    usual = next(block for block in _blocks("yaml", "config.yaml") if "\nchats:" in block)
    return "".join((_sections(usual) | _sections(recipe)).values())


def test_the_configs_in_the_readme_load(tmp_path: Path) -> None:
    blocks = _blocks("yaml", "config.yaml")
    assert blocks
    for block in blocks:
        assert _load(tmp_path, block).warnings == ()


NOON, MIDNIGHT, SATURDAY = "2026-11-24T07:00+00:00", "2026-11-24T19:00+00:00", "2026-11-28T07:00+00:00"
CALLS: dict[str, list[tuple[str, dict[str, str], str]]] = {
    "chat first, then the phone": [
        (NOON, {}, "2 aigerim, 7 jonas, 7 chat, 17 chat, 19 aigerim, 24 jonas, 24 chat"),
    ],
    "business hours": [
        (NOON, {}, "0 aigerim, 5 jonas"),
        (MIDNIGHT, {}, "0 jonas, 5 aigerim"),
        (NOON, {"severity": "warning"}, "0 aigerim, 5 jonas"),
        (MIDNIGHT, {"severity": "warning"}, "420 aigerim, 425 jonas"),
        (NOON, {"severity": "info", "job": "office"}, "0 aigerim, 5 jonas"),
        (SATURDAY, {"severity": "info", "job": "office"}, "2700 aigerim, 2705 jonas"),
    ],
    "two teams": [
        (NOON, {"team": "db"}, "0 aigerim, 5 jonas"),
        (NOON, {}, "0 jonas, 5 aigerim"),
        (NOON, {"severity": "info"}, ""),
    ],
    "follow the sun": [
        (NOON, {}, "0 aigerim, 5 jonas, 15 aigerim, 20 jonas"),  # 08:00 in Berlin
        ("2026-11-24T08:00+00:00", {}, "0 jonas, 5 aigerim, 15 jonas, 20 aigerim"),
        ("2026-11-30T03:58+00:00", {}, "0 aigerim, 5 jonas, 15 dana, 20 jonas"),  # Almaty hands over in between
    ],
    "watchdog": [(NOON, {}, "0 aigerim, 0 jonas")],
}


def test_every_recipe_is_tried() -> None:
    assert [block.partition("\n")[0].removeprefix("# recipe: ") for block in _blocks("yaml", "recipe: ")] == list(CALLS)


@pytest.mark.parametrize(
    ("recipe", "at", "labels", "calls"), [(name, *case) for name, cases in CALLS.items() for case in cases]
)
async def test_a_recipe_calls_whom_it_says(
    tmp_path: Path, recipe: str, at: str, labels: dict[str, str], calls: str
) -> None:
    config, now = _load(tmp_path, _recipe(recipe)), datetime.fromisoformat(at)
    assert config.warnings == ()
    body = firing("db1")
    body["alerts"][0]["labels"].update(labels)
    found = await explain(config, "alertmanager", json.dumps(body).encode(), now)
    planned = [row for opened in found.incidents for row in opened.planned]
    assert ", ".join(f"{(hour_of(row) - now) // timedelta(minutes=1)} {row.target}" for row in planned) == calls
    assert (found.problem, found.unknown) == ("", ())


async def test_the_watchdog_of_the_recipe_calls_whom_it_says(tmp_path: Path) -> None:
    config, now = _load(tmp_path, _recipe("watchdog")), datetime.fromisoformat(NOON)
    (silence,) = (await explain(config, "watchdog", b"", now)).incidents
    assert [(hour_of(row) - now, row.target) for row in silence.planned] == [
        (timedelta(minutes=5), "aigerim"),
        (timedelta(minutes=5), "jonas"),
    ]


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


def test_the_text_in_the_readme_is_billed_as_it_says() -> None:
    ((text, answer),) = re.findall(r"^\$ sms-bridge text '([^']*)'\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert typed("text", text).out == answer


def test_the_changelog_has_room_for_what_is_new() -> None:
    assert re.search(r"^## Unreleased$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
