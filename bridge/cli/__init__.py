"""The command line: `verbs` are what can be typed, `asking` and `typed` understand, `words` says."""

from bridge.cli.verbs import app, main

__all__ = ["app", "main"]
