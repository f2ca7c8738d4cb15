"""The HTTP edge: webhooks, the API, health and metrics. It translates and never decides."""

from bridge.web.app import build_apps

__all__ = ["build_apps"]
