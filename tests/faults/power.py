"""Power cuts, simulated: disks as they may be afterwards, made from what a life asked of the system.

What was synced is there. Of what was written since, any part may be: each write whole, torn at a sector, or
not at all, in any order. Not modelled: directory entries, and parts of a sector.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
CALLS = ("write", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink")
TRACED = ("-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={','.join(CALLS)}")
"""What strace has to be told, so that `read_log` finds everything."""
_UNLINK = re.compile(r'^\d+ +unlink\("([^"]*)"\) += 0$')
_CALL = re.compile(r'^\d+ +(\w+)\(\d+<([^>]*)>(?:, "([^"]*)")?((?:, \d+)*)(.*)$')


@dataclass(frozen=True, slots=True)
class Write:
    """So many bytes at this place of a file."""

    file: str
    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file cut off, or grown, to this size."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """From here on the disk has all of this file."""

    file: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A file deleted; that is on disk at once, as directory entries are here."""

    file: str


@dataclass(frozen=True, slots=True)
class Told:
    """The world was told this: it has to be true after any later cut."""

    line: str


Step = Write | Truncate | Sync | Remove | Told


def read_log(log: Path, told: str) -> list[Step]:
    """What a life did, in order; writes to the file called `told` are its words to the world."""
    return [step for line in log.read_text().splitlines() if (step := _step(line, told))]


def _step(line: str, told: str) -> Step | None:
    if unlinked := _UNLINK.match(line):
        return Remove(Path(_bytes(unlinked[1]).decode()).name)
    found = _CALL.match(line)
    if found is None:
        assert not re.match(r"^\d+ +(pwrite64|fdatasync|ftruncate)\(", line), f"not understood: {line[:200]}"
        return None
    call, path, text, numbers, rest = found.groups()
    assert "..." not in rest[:4], "strace cut a write short"
    file = Path(_bytes(path).decode()).name
    arguments = [int(number) for number in numbers.split(", ")[1:]]
    match call:
        case "write" if file == told:
            return Told(_bytes(text).decode().strip())
        case "pwrite64":
            return Write(file, arguments[1], _bytes(text))
        case "ftruncate":
            return Truncate(file, arguments[0])
        case "fdatasync" | "fsync":
            return Sync(file)
        case _:
            return None


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


@dataclass(frozen=True, slots=True)
class Image:
    """A disk after a cut: files by name, and what the world had been told before it."""

    files: dict[str, bytes] = field(repr=False)
    told: Sequence[str] = field(repr=False)
    cut_after: int


def images(steps: Sequence[Step], files: Sequence[str], count: int, chance: random.Random) -> Iterator[Image]:
    """So many disks, each cut at some step of the life."""
    cuts = sorted(chance.randrange(len(steps)) for _ in range(count))
    durable: dict[str, bytearray] = {name: bytearray() for name in files}
    unsynced: dict[str, list[Step]] = defaultdict(list)
    told: list[str] = []
    number = 0
    for cut in cuts:
        for step in steps[number : cut + 1]:
            match step:
                case Told(line):
                    told.append(line)
                case Sync(name):
                    for done in unsynced.pop(name, []):
                        _apply(durable[name], done)
                case Remove(name) if name in durable:
                    durable[name].clear()
                    unsynced.pop(name, None)
                case Write(name) | Truncate(name) if name in durable:
                    unsynced[name].append(step)
        number = cut + 1
        disk = {name: _torn(content, unsynced.get(name, []), chance) for name, content in durable.items()}
        yield Image(disk, tuple(told), cut)


def _torn(durable: bytearray, unsynced: Sequence[Step], chance: random.Random) -> bytes:
    """This file with some of what was not yet synced."""
    content = bytearray(durable)
    luck = chance.choice((0.0, 0.5, 0.9, 1.0))
    for step in unsynced:
        if isinstance(step, Write) and chance.random() < 0.2:
            for start in range(0, len(step.data), SECTOR):
                if chance.random() < luck:
                    _apply(content, Write(step.file, step.offset + start, step.data[start : start + SECTOR]))
        elif chance.random() < luck:
            _apply(content, step)
    return bytes(content)


def _apply(content: bytearray, step: Step) -> None:
    match step:
        case Write(offset=offset, data=data):
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        case Truncate(size=size):
            del content[size:]
            content.extend(bytes(size - len(content)))
        case _:
            pass
