"""Whatever comes in, a parser answers with its own kind of error, in time, and within bounds.

Twice: with inputs that hypothesis makes of good ones, on every Python; and, where atheris can be had, with inputs
that are bred to reach new branches. `make torture` breeds for half an hour each.
"""

import asyncio
import importlib.util
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.tracing import LONG, ROOT
from tests.fuzz.broken import PLANTED
from tests.fuzz.targets import SUBJECTS, Subject

EXAMPLES = 20_000 if LONG else 100
RUNS = ["-max_total_time=1800"] if LONG else ["-runs=2000"]
ONE_INPUT = 20  # seconds; a single one takes less than a millisecond, the rest is for machines with other work
HUGE = 200_000

_quietly = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=not LONG
)

# --- inputs made of good ones

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e999, float("nan"), "\0", "\ud800", "9" * 5000])
    | st.floats()
    | st.text(max_size=30)
    | st.datetimes().map(str)
)  # fmt: skip
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
)


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every place in a JSON value where another could stand: (container, key)."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        found.append((value, key))
        _places(inner, found)
    return found


@st.composite
def _inputs(draw: st.DrawFn, subject: Subject) -> bytes:
    seed = draw(st.sampled_from(subject.seeds))
    cut = draw(st.sampled_from(["json", "bytes", "words", "noise"]))
    head, _, body = seed.rpartition(b"\n") if not seed.startswith(b"{") else (b"", b"", seed)
    try:
        value = json.loads(body) if cut == "json" else None
    except ValueError:
        value = None
    if isinstance(value, dict):
        for container, key in draw(st.lists(st.sampled_from(_places(value, [])), max_size=4)):
            container[key] = draw(_values)
        return (head + b"\n" if head else b"") + json.dumps(value).encode()
    if cut == "noise":
        return draw(st.binary(max_size=300))
    at, to = sorted(draw(st.tuples(st.integers(0, len(seed)), st.integers(0, len(seed)))))
    word = draw(st.sampled_from(subject.words)).encode() if subject.words and cut == "words" else draw(st.binary())
    return seed[:at] + word * draw(st.integers(0, 3)) + seed[to:]


def _tried(subject: Subject, how: settings = _quietly) -> Callable[[], None]:
    @how
    @given(data=_inputs(subject))
    def tried(data: bytes) -> None:
        subject.run(data)

    return tried


@pytest.mark.timeout(7200 if LONG else 240)
@pytest.mark.parametrize("name", SUBJECTS)
def test_anything_made_of_good_input_is_understood_or_refused(name: str) -> None:
    for seed in SUBJECTS[name].seeds:
        SUBJECTS[name].run(seed)
    _tried(SUBJECTS[name])()


def test_a_parser_that_trusts_its_sender_is_found() -> None:
    for seed in PLANTED["trusts"].seeds:
        PLANTED["trusts"].run(seed)  # good input does not show it
    with pytest.raises((KeyError, AttributeError)):
        _tried(PLANTED["trusts"], settings(_quietly, max_examples=1_000, report_multiple_bugs=False))()


# --- sizes


@pytest.mark.parametrize("sign", ["a", "1", " ", "(", "[", "-", ".", "\n"])
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_long_run_of_one_sign_is_read_in_time(name: str, sign: str) -> None:
    """Red by the time limit of a test: what takes the square of its length would take minutes here."""
    subject = SUBJECTS[name]
    run = sign.encode() * (HUGE // 10 if name == "config" else HUGE)  # its YAML is read in Python
    subject.run(run)
    seed = subject.seeds[0]
    half = len(seed) // 2
    subject.run(seed[:half] + run + seed[half:])


@pytest.mark.parametrize("sign", ["a", "1", " ", "(", ".", "-", "[", "a."])
@pytest.mark.parametrize("where", ["message", "url", "recipient", "a name"])
def test_no_word_of_mobizon_is_too_long_to_be_read(where: str, sign: str) -> None:
    word = sign * (HUGE // len(sign))
    for code in (0, 1, 13):
        data: Any = {word: {str(n): word[:9] for n in range(2000)}} if where == "a name" else {where: word}
        SUBJECTS["mobizon"].run(b"200\n\n" + json.dumps({"code": code, "data": data, "message": word}).encode())


@pytest.mark.parametrize(
    "after", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +" + "9" * 17]
)
def test_no_hour_that_mobizon_names_is_too_late_to_be_read(after: str) -> None:
    SUBJECTS["mobizon"].run(f'429\n{after}\n{{"code": 30}}'.encode())


@pytest.mark.parametrize("update_id", [2**63, -1, 10**40, True])
def test_an_update_that_no_database_can_number_is_refused(update_id: int) -> None:
    SUBJECTS["telegram"].run(json.dumps({"update_id": update_id, "message": {}}).encode())


# --- inputs bred by what they reach


async def _bred(name: str, folder: Path, *options: str) -> tuple[int, str]:
    """How the fuzzer ended, and what it said. The same seed breeds the same inputs."""
    command = [sys.executable, "-m", "tests.fuzz.fuzzer", name, str(folder / "corpus"), "-seed=1", "-max_len=4096"]
    process = await asyncio.create_subprocess_exec(
        *command, f"-artifact_prefix={folder}/", *options,
        cwd=ROOT, stdout=PIPE, stderr=STDOUT, env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


if importlib.util.find_spec("atheris"):  # it has no wheel for every Python we run on

    @pytest.mark.timeout(3600 if LONG else 240)
    @pytest.mark.parametrize("name", SUBJECTS)
    async def test_anything_bred_to_reach_more_is_understood_or_refused(name: str, tmp_path: Path) -> None:
        status, said = await _bred(name, tmp_path, *RUNS, f"-timeout={ONE_INPUT}")
        assert status == 0, said[-3000:]
        assert "INITED" in said, "nothing was reached, so nothing was tried"

    @pytest.mark.timeout(240)
    @pytest.mark.parametrize(
        ("name", "found"), [("trusts", "KeyError: 'startsAt'"), ("never_ends", "libFuzzer: timeout")]
    )
    async def test_a_planted_bug_is_bred_out(name: str, found: str, tmp_path: Path) -> None:
        status, said = await _bred(name, tmp_path, "-runs=200000", "-timeout=3")
        assert status != 0
        assert found in said
