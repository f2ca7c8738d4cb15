"""What Prometheus may know: counts and times, never a number, a text or a name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bridge import __version__

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)


class Metrics:
    """All metrics of one bridge, in a registry of its own. Names are the contract's."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"sms_bridge_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"sms_bridge_{name}", text, labels, registry=self.registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"sms_bridge_{name}", text, labels, buckets=_SECONDS, registry=self.registry)

        build = gauge("build_info", "Which version runs.", "version")
        build.labels(__version__).set(1)
        self.webhook_requests = counter("webhook_requests", "Webhook requests by source and answer.", "source", "code")
        self.alerts = counter("alerts", "Alerts understood.", "source", "status")
        self.incidents = gauge("incidents", "Incidents by state.", "state")
        self.notifications = counter("notifications", "Notifications that reached an end.", "outcome")
        self.notification_latency = seconds(
            "notification_latency_seconds", "From the alert stored to the SMS accepted by Mobizon."
        )
        self.delivery = seconds("delivery_seconds", "From accepted by Mobizon to a final report.", "status")
        self.segments = counter("segments", "Segments handed to Mobizon.", "alphabet")
        self.cost = counter("cost", "Money spent, as Mobizon priced it.", "currency")
        self.balance = gauge("balance", "Money left at Mobizon.", "currency")
        self.outbox_depth = gauge("outbox_depth", "Notifications by state, ends excepted.", "state")
        self.outbox_oldest = gauge("outbox_oldest_seconds", "How long the oldest due notification has waited.")
        self.uncertain = counter("uncertain", "Sends whose answer was lost, and what became of them.", "resolution")
        self.escalations = counter("escalations", "Steps taken, by cause.", "cause")
        self.suppressed = counter("suppressed", "What made no SMS, and why.", "reason")
        self.mobizon_requests = counter("mobizon_requests", "Requests to Mobizon by method and code.", "method", "code")
        self.mobizon_seconds = seconds("mobizon_request_seconds", "How long Mobizon took to answer.", "method")
        self.telegram_requests = counter("telegram_requests", "Requests to Telegram.", "method", "result")
        self.tick_seconds = seconds("tick_seconds", "How long a tick ran.", "tick")
        self.tick_success = gauge("tick_last_success_timestamp_seconds", "When a tick last ended well.", "tick")
        self.reload_good = gauge("config_last_reload_successful", "1 while the last config read was good.")
        self.reload_good.set(1)
