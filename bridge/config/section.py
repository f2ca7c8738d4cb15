"""One table of the config file as its reader sees it: typed values out, every problem noted, reading goes on."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar, overload

from bridge.config.document import ENVIRONMENT, Findings, Items, Table, Text, Value, Where, below, shown_path
from bridge.config.scalars import Wrong, near
from bridge.config.scalars import name as read_name
from bridge.config.schema import LATER, OTHER_NAMES, Schema
from bridge.domain.secret import Secret

T = TypeVar("T")
D = TypeVar("D")

PREFIX = "SMS_BRIDGE__"
_FROM_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LARGEST_SECRET_FILE = 64 * 1024
_READABLE_BY_ALL = 0o004


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the file: the folder that paths start from, the environment, who may read the file, today."""

    folder: Path
    environ: Mapping[str, str]
    exposed: bool
    findings: Findings
    now: datetime


class Section:
    """A table with a path. Keys that its schema does not have are problems from the start."""

    def __init__(self, around: Surroundings, table: Table, path: str, schema: Schema) -> None:
        self.around = around
        self.path = path
        self.where = table.where
        self._entries = table.entries
        self._schema = schema
        for key, value in table.entries.items():
            if key not in schema["properties"]:
                self._found.problem(value.where, below(path, key), self._unknown(key))

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def is_text(self, key: str) -> bool:
        """Whether a single word or number stands where a table could."""
        return isinstance(self._take(key), Text)

    def problem(self, what: str, key: str = "") -> None:
        """Note what is wrong with this table, or with a key of it."""
        self._found.problem(*self._spot(key), what)

    def warn(self, what: str, key: str = "") -> None:
        """Note what is worth a look."""
        self._found.warn(*self._spot(key), what)

    @overload
    def get(self, key: str, read: Callable[[str], T], default: D) -> T | D: ...
    @overload
    def get(self, key: str, read: Callable[[str], T]) -> T | None: ...
    def get(self, key: str, read: Callable[[str], T], default: object = None) -> object:
        """The value, understood; the default when it is absent or wrong."""
        value = self._take(key)
        return default if value is None else self._typed(value, below(self.path, key), read, default)

    def need(self, key: str, read: Callable[[str], T], like: str) -> T | None:
        """The value, whose absence is a problem; `like` shows how it could look."""
        if key not in self:
            self.problem(f"no {key}; write it like {key}: {like}")
        return self.get(key, read)

    def texts(self, key: str, read: Callable[[str], T], *, if_empty: str = "") -> list[T] | None:
        """A list of scalars, understood, or None when the key is absent; `if_empty` makes none at all a problem."""
        items = self._items(key)
        if items == [] and if_empty:
            self.problem(if_empty, key)
        if items is None:
            return None
        found = (self._typed(value, path, read, None) for path, value in items)
        return [value for value in found if value is not None]

    def section(self, key: str) -> "Section":
        """A table below this one; an empty one when it is absent, or not a table, and then it complains no more."""
        schema, value, path = self._schema["properties"][key], self._take(key), below(self.path, key)
        around = self.around if value is None else replace(self.around, findings=Findings(self._found.file))
        return self._table(value, path, schema) or Section(around, Table({}, self.where), path, schema)

    def sections(self, key: str) -> list["Section"]:
        """A list of tables."""
        schema = self._schema["properties"][key]["items"]
        tables = (self._table(value, path, schema) for path, value in self._items(key) or [])
        return [table for table in tables if table is not None]

    def named(self, key: str) -> Iterator[tuple[str, "Section"]]:
        """Tables by the names that the file gives them."""
        schema = self._schema["properties"][key]
        for name, value in self._open(key):
            path = below(below(self.path, key), name)
            table = self._table(value, path, schema["additionalProperties"])
            if self._typed(Text(name, value.where), path, read_name, None) and table:
                yield name, table

    def pairs(
        self, key: str, read_key: Callable[[str], T], read: Callable[[str], D], *, if_empty: str
    ) -> list[tuple[T, D]] | None:
        """A table whose keys have a meaning of their own, or None when it is absent."""
        entries = self._open(key)
        if key not in self:
            return None
        if not entries and isinstance(self._take(key), Table):
            self.problem(if_empty, key)
        found = []
        for name, value in entries:
            path = below(below(self.path, key), name)
            left = self._typed(Text(name, value.where), path, read_key, None)
            right = self._typed(value, path, read, None)
            if left is not None and right is not None:
                found.append((left, right))
        return found

    def secret(self, key: str, *, required: str = "") -> Secret | None:
        """A credential from `key`, from the file that `key`_file names, or from the environment."""
        found = self.secrets(key, several=False)
        if not found and required and key not in self and f"{key}_file" not in self:
            self.problem(required)
        return found[0] if found else None

    def secrets(self, key: str, *, several: bool = True) -> tuple[Secret, ...]:
        """The same where a file may hold several credentials, one a line, all valid."""
        in_file = f"{key}_file"
        if key in self and in_file in self:
            self.problem(f"{key} and {in_file} are both there; keep one", in_file)
            return ()
        if in_file in self:
            read = self.get(in_file, self._secret_lines)
            file = self.file_of(key)
            if read and file and file.stat().st_mode & _READABLE_BY_ALL:
                # No refusal: secrets that an orchestrator mounts are often 0444, inside a closed container.
                self.warn("everybody on this machine can read that file; chmod 600 it", in_file)
            if read and len(read) > 1 and not several:
                self.problem("holds several lines; one secret is expected", in_file)
            return tuple(map(Secret, read or ()))
        secret = self.get(key, self._from_environment)
        written = self._entries.get(key)
        inline = isinstance(written, Text) and written.text == secret and written.where.line != ENVIRONMENT
        if inline and self.around.exposed:
            self.warn(f"stands in a file that everybody on this machine can read; chmod 600 it, or use {in_file}", key)
        return (Secret(secret),) if secret else ()

    def file_of(self, key: str) -> Path | None:
        """Where the credential is read from, when it is a file."""
        return self.get(f"{key}_file", self._file)

    def template(self, key: str = "template") -> str:
        """A text of several lines, from `key` or from the file that `key`_file names; empty where there is neither."""
        in_file = f"{key}_file"
        if key in self and in_file in self:
            self.problem(f"{key} and {in_file} are both there; keep one", in_file)
            return ""
        return self.get(key, str) or self.get(in_file, self._whole_file) or ""

    @property
    def _found(self) -> Findings:
        return self.around.findings

    def _spot(self, key: str) -> tuple[Where, str]:
        entry = self._entries.get(key)
        return (entry.where if entry else self.where), below(self.path, key) if key else self.path

    def _unknown(self, key: str) -> str:
        if key in LATER:
            return LATER[key]
        if OTHER_NAMES.get(key) in self._schema["properties"]:
            return f"is called {OTHER_NAMES[key]} here"
        return f"no such key; {near(key, self._schema['properties'])}"

    def _take(self, key: str) -> Value | None:
        assert key in self._schema["properties"], f"{key} is missing from the schema of {self.path or 'the file'}"
        return self._entries.get(key)

    def _typed(self, value: Value, path: str, read: Callable[[str], T], default: D) -> T | D:
        match value:
            case Text(text="", where=where):
                self._found.problem(where, path, "empty; write a value, or remove the key")
            case Text(written, where):
                try:
                    return read(written)
                except Wrong as error:
                    self._found.problem(where, path, str(error))
            case _:
                self._found.problem(value.where, path, "a list or a table; a single value would be right")
        return default

    def _items(self, key: str) -> list[tuple[str, Value]] | None:
        value = self._take(key)
        path = below(self.path, key)
        if isinstance(value, Items):
            return [(f"{path}[{place}]", item) for place, item in enumerate(value.items)]
        if value is not None:
            self._found.problem(value.where, path, "not a list; write it like [one, two]")
        return None

    def _open(self, key: str) -> list[tuple[str, Value]]:
        value = self._take(key)
        if value is not None and not isinstance(value, Table):
            self._found.problem(value.where, below(self.path, key), _NOT_A_TABLE)
        return list(value.entries.items()) if isinstance(value, Table) else []

    def _table(self, value: Value | None, path: str, schema: Schema) -> "Section | None":
        if isinstance(value, Table):
            return Section(self.around, value, path, schema)
        if value is not None:
            self._found.problem(value.where, path, _NOT_A_TABLE)
        return None

    def _from_environment(self, written: str) -> str:
        variable = _FROM_ENVIRONMENT.fullmatch(written)
        if not variable:
            return written
        value = self.around.environ.get(variable[1], "")
        if not value:
            raise Wrong(f"the environment has no {variable[1]}; set it, or use a file")
        return value

    def _file(self, written: str) -> Path:
        if "\0" in written:
            raise Wrong("not a path")
        return self.around.folder / written

    def _secret_lines(self, written: str) -> list[str]:
        path, named = self._file(written), shown_path(written)
        try:
            if not path.is_file():
                raise Wrong(f"{named} is not there; create it, readable only for us")
            content = path.read_bytes()[: _LARGEST_SECRET_FILE + 1]
            lines = [line.rstrip("\r") for line in content.decode("utf-8-sig").split("\n") if line.strip()]
        except UnicodeDecodeError as error:
            raise Wrong(f"{named} is not text; write the secret into it, in one line") from error
        except OSError as error:
            raise Wrong(f"{named} cannot be read ({error.strerror}); let the bridge's user read it") from error
        if len(content) > _LARGEST_SECRET_FILE:
            raise Wrong(f"{named} is too large for a secret; write the secret into it, in one line")
        if not lines:
            raise Wrong(f"{named} is empty; write the secret into it")
        return lines

    def _whole_file(self, written: str) -> str:
        path, named = self._file(written), shown_path(written)
        try:
            if not path.is_file():
                raise Wrong(f"{named} is not there; paths are seen from the config's folder")
            with path.open("rb") as file:
                return file.read(_LARGEST_SECRET_FILE).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Wrong(f"{named} is not text; templates are UTF-8") from error
        except OSError as error:
            raise Wrong(f"{named} cannot be read ({error.strerror}); let the bridge's user read it") from error


_NOT_A_TABLE = "not a table; write its keys in lines below, further in"


def override(root: Table, schema: Schema, environ: Mapping[str, str], findings: Findings) -> None:
    """Put what SMS_BRIDGE__SECTION__KEY variables say in the place of what the file says."""
    for variable, value in sorted(environ.items()):
        if variable.upper().startswith(PREFIX):
            where = Where(variable, ENVIRONMENT)
            problem = _put(root, schema, variable[len(PREFIX) :].lower().split("__"), Text(value, where))
            if problem:
                findings.problem(where, "", problem)


def _put(root: Table, schema: Schema, path: list[str], value: Text) -> str:
    """Set one value; says what is wrong with the path."""
    table = root
    for place, part in enumerate(path):
        if "properties" not in schema and isinstance(schema.get("additionalProperties"), dict):
            names = {name.lower().replace("-", "_"): name for name in table.entries}
            name, schema = names.get(part.replace("-", "_"), ""), schema["additionalProperties"]
            near_names = list(names)
        else:
            name = part if part in schema.get("properties", {}) else ""
            near_names = list(schema.get("properties", {}))
            schema = schema.get("properties", {}).get(part, {})
        if not name:
            return f"names no key of the config; {near(part, near_names)}"
        if place == len(path) - 1:
            break
        below_it = table.entries.setdefault(name, Table({}, value.where))
        if not isinstance(below_it, Table):
            return "names a key below something that is no table"
        table = below_it
    if {"properties", "additionalProperties", "items"} & schema.keys():
        return "names a whole section; only single values can be overridden"
    table.entries[name] = value
    # The environment's credential stands in the place of the file's, however either was given.
    table.entries.pop(name.removesuffix("_file") if name.endswith("_file") else f"{name}_file", None)
    return ""
