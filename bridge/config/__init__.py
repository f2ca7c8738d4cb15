"""The config file, understood: YAML in, a frozen Config out, every problem named by its line and path."""

from bridge.config.reading import describe, load_config
from bridge.config.schema import config_schema
from bridge.config.values import (
    ApiToken,
    CalendarSettings,
    Config,
    ConfigError,
    Credentials,
    MobizonSettings,
    ServerSettings,
    SourceSettings,
    StorageSettings,
    TelegramSettings,
)

__all__ = [
    "ApiToken",
    "CalendarSettings",
    "Config",
    "ConfigError",
    "Credentials",
    "MobizonSettings",
    "ServerSettings",
    "SourceSettings",
    "StorageSettings",
    "TelegramSettings",
    "config_schema",
    "describe",
    "load_config",
]
