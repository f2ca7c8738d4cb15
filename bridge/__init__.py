"""sms-bridge: a webhook or a chat command becomes one SMS, and the chat sees it arrive."""

__version__ = "0.1.0"
