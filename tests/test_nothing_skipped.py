"""A test that is left out must be loud where CI is set, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_LEFT_OUT = {
    "a skip": "import pytest\ndef test_it(): pytest.skip('no such thing here')\n",
    "a marker": "import pytest\n@pytest.mark.skip\ndef test_it(): pass\n",
    "a whole file": "import pytest\npytest.skip('none of it', allow_module_level=True)\n",
}


@pytest.mark.parametrize("how", _LEFT_OUT)
@pytest.mark.parametrize("ci", ["", "true"])
def test_what_is_left_out_fails_where_ci_is_set(tmp_path: Path, how: str, ci: str) -> None:
    (tmp_path / "test_one.py").write_text(_LEFT_OUT[how], encoding="utf-8")
    (tmp_path / "test_two.py").write_text("def test_it(): pass\n", encoding="utf-8")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.nothing_skipped",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            tmp_path,
        ],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode == 0) is (not ci), run.stdout
