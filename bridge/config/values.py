"""What a config file comes to: frozen values, and the error that says why one does not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bridge.domain.house import House, Role
from bridge.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where we listen. Addresses are (host, port)."""

    listen: tuple[str, int] = ("127.0.0.1", 9877)
    public_listen: tuple[str, int] | None = None
    public_url: str | None = None
    max_body: int = 32 * 1024 * 1024  # bytes; a storm of 10 000 alerts is 6.5 MB
    allow_plain: bool = False


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The embedded database's file, and how long numbers and texts are kept."""

    path: Path
    keep: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class MobizonSettings:
    """The account at Mobizon. `api_key_in` is `body` or `query`."""

    base_url: str
    api_key: Secret
    sender_id: str | None = None
    api_key_in: str = "query"
    time_zone: str | None = None  # of the account; deferredToTs is written in it
    report_token: Secret | None = None  # the last part of the address that Mobizon posts delivery reports to
    key_file: Path | None = None  # read again after code 8
    concurrency: int = 16  # requests in flight; httpx slows down beyond


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    """The bot. `updates` is `polling` or `webhook`."""

    token: Secret
    api_url: str = "https://api.telegram.org"
    updates: str = "polling"
    webhook_path: str | None = None
    webhook_secret: Secret | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sender may show: any one of these bearer tokens, or of these basic pairs (user, password)."""

    tokens: tuple[Secret, ...] = ()
    basic: tuple[tuple[str, Secret], ...] = ()
    open: bool = False


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One alert source. `kind` names the format."""

    name: str
    kind: str
    credentials: Credentials
    api_url: str | None = None  # of its own API; ours are the paths behind it
    api_token: Secret | None = None


@dataclass(frozen=True, slots=True)
class CalendarSettings:
    """Where a rota's turns are booked: a file, or an address, which is a secret as whoever has it can read it."""

    path: Path | None = None
    url: Secret | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """Who may use the HTTP API with this token, and as what."""

    name: str
    secret: Secret
    role: Role


@dataclass(frozen=True, slots=True)
class Config:
    """One config file, understood. `house` is what services ask; the rest is for the edges."""

    house: House
    server: ServerSettings
    storage: StorageSettings
    mobizon: MobizonSettings
    telegram: TelegramSettings | None
    sources: Mapping[str, SourceSettings]
    api_tokens: Mapping[str, ApiToken]
    calendars: Mapping[str, CalendarSettings] = field(default_factory=dict)  # by the name of their rota
    heartbeat_url: Secret | None = None
    warnings: tuple[str, ...] = field(default=())


class ConfigError(Exception):
    """Everything that is wrong with a config; one line each, `FILE:LINE: path: what; what would be right`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
