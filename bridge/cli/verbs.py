"""The verbs: each loads the config, asks whom it has to ask, and prints the answer."""

# ruff: noqa: PLC0415 - imports wait inside, so that --help is quick, and aiogram is for those that need it

import asyncio
import secrets
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from bridge import __version__
from bridge.cli import asking, typed, words
from bridge.clock import SystemClock

if TYPE_CHECKING:
    from bridge.config import Config

app = typer.Typer(
    name="sms-bridge",
    help="Monitoring posts a webhook, the right phone gets one SMS, the chat shows what became of it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # it prints local variables, and some hold numbers and texts
)


class Output(StrEnum):
    """How a verb answers."""

    TEXT = "text"
    JSON = "json"


class BillOutput(StrEnum):
    """How `bill` answers."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class BillBy(StrEnum):
    """What the lines of a bill stand for."""

    ROUTE = "route"
    PERSON = "person"
    ASKER = "asker"
    DAY = "day"


class Spelling(StrEnum):
    """What pages may make of a text; `sms.alphabet` of the config."""

    AUTO = "auto"
    GSM7 = "gsm7"
    UNICODE = "unicode"


class Level(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="The config file.")]
Answer = Annotated[Output, typer.Option("--output", "-o", help="How to answer: for people, or for scripts.")]
Url = Annotated[str | None, typer.Option("--url", help="The running bridge; server.listen of the config otherwise.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Holds the API token; otherwise SMS_BRIDGE_API_TOKEN, or the first of api.tokens that may do it.",
    ),
]
_SINCE = "How far back: 1h, 7d, 2026-11-22, or 2026-11-22T14:00."


def main() -> None:
    """The installed command."""
    app()


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sms-bridge {__version__}")
        raise typer.Exit


@app.callback()
def _before_every_verb(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    pass


# --- serving ---------------------------------------------------------------------------------------


@app.command()
def run(
    config: ConfigFile,
    log_level: Annotated[Level, typer.Option("--log-level", help="LOG_LEVEL in the environment rules.")] = Level.INFO,
) -> None:
    """Serve until stopped; SIGHUP reads the config again."""
    from bridge import logs

    logs.set_up(log_level)
    from bridge import app as program

    with (
        asking.config_sentences(),
        asking.storage_sentences(),
        asyncio.Runner(loop_factory=asking.loop_factory()) as runner,
    ):
        runner.run(program.run(config))


@app.command()
def demo(
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where it listens.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Keep the data here; else it is thrown away.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Play one alert to its end, then stop.")] = False,
) -> None:
    """Play with all of it, without an account."""
    from bridge.demo.show import play

    with asking.storage_sentences():
        arrived = asking.wait_for(play(listen, data, once=once))
    if once and not arrived:
        raise typer.Exit(1)


@app.command()
def migrate(config: ConfigFile) -> None:
    """Bring the database up to date, as run does."""
    import storage

    path = asking.load(config).storage.path
    with asking.storage_sentences():
        storage.migrate(path)
        typer.echo(f"{path}: schema {storage.current_revision(path)}, the newest")


@app.command()
def backup(config: ConfigFile, target: Annotated[Path, typer.Argument(metavar="TARGET")]) -> None:
    """Copy the database while the bridge runs.

    To restore, put the copy in its place and start.
    """
    import storage

    path = asking.load(config).storage.path
    with asking.storage_sentences():
        storage.backup(path, target)
    typer.echo(f"{path} copied to {target}, {target.stat().st_size} bytes")


# --- the config ------------------------------------------------------------------------------------


@app.command()
def check_config(config: ConfigFile, output: Answer = Output.TEXT) -> None:
    """Name every problem of a config, with its line."""
    from bridge.config import ConfigError, describe, load_config

    if output is Output.JSON:
        try:
            loaded = load_config(config)
        except ConfigError as error:
            words.say_json({"good": False, "problems": error.problems, "warnings": []})
            raise typer.Exit(1) from error
        words.say_json({"good": True, "problems": [], "warnings": [*loaded.warnings, *_slow(loaded, config)]})
        return
    loaded = asking.load(config)
    for warning in (*loaded.warnings, *_slow(loaded, config)):
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(describe(loaded, config, SystemClock().now()))


def _slow(config: "Config", path: Path) -> list[str]:
    """The templates that take long for the longest that a webhook may bring: pages are claimed one after the other."""
    from bridge.templates import LONG, time_on_the_longest

    found = {f"routes.{route.name}.template": route.template for route in config.house.routes}
    told = {"sms.template": config.house.sms.template, **found}
    times = {key: time_on_the_longest(source, SystemClock().monotonic) for key, source in told.items() if source}
    return [
        f"{path}: {key}: takes {took:.2f} s for {LONG}; every page waits for it, so write shorter loops"
        for key, took in times.items()
        if took > _TOO_LONG
    ]


_TOO_LONG = 0.05  # seconds


@app.command()
def config_schema() -> None:
    """Print the JSON Schema of configs, for editors."""
    from bridge.config import config_schema as schema

    words.say_json(schema())


@app.command()
def explain(
    payloads: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PAYLOAD.json", help="A webhook's body; - reads it from stdin.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The config file; --rules goes without one too.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="The source of the config it comes from.")
    ] = None,
    route: Annotated[str | None, typer.Option("--route", metavar="NAME", help="As in /webhooks/SOURCE/ROUTE.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="As if it came then: 03:00, or 2026-12-24T03:00.")
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            "--rules", metavar="PATH…", help="Files or folders of Prometheus' alert rules: how each would read."
        ),
    ] = None,
    output: Answer = Output.TEXT,
) -> None:
    """Show what a webhook would do, sending nothing.

    Its alerts and their routes, the incident, and its whole plan: who is called when, and each SMS word for word.
    With --rules instead how each alert rule would read as an SMS, its labels and values made up.
    """
    loaded, now = asking.load(config) if config else None, SystemClock().now()
    if at is not None:
        now = typed.some_day(at, loaded.house.time_zone if loaded else ZoneInfo("UTC"), now)
    if rules:
        _explain_rules([*rules, *(payloads or ())], loaded, source, output, now)
        return
    if loaded is None:
        raise typer.BadParameter("a webhook is explained by a config: --config FILE; only --rules goes without")
    if source is None:
        raise typer.BadParameter(
            f"--source NAME: which source it comes from; there are: {', '.join(loaded.house.sources)}"
        )
    if not payloads or len(payloads) > 1:
        raise typer.BadParameter("one PAYLOAD.json, or - for stdin")
    if str(payloads[0]) == "-":
        body = sys.stdin.buffer.read()
    else:
        try:
            body = payloads[0].read_bytes()
        except OSError as error:
            raise asking.failed(f"{payloads[0]}: cannot be read ({error.strerror})") from error
    _explain(loaded, source, body, route, output, now)


@app.command()
def text(
    written: Annotated[list[str], typer.Argument(metavar="TEXT…", help="- reads it from stdin.", show_default=False)],
    alphabet: Annotated[
        Spelling | None, typer.Option("--alphabet", help="Also what a page would make of it, with this sms.alphabet.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Takes sms.alphabet and the longest text from it.")
    ] = None,
    output: Answer = Output.TEXT,
) -> None:
    """Show how a text would be billed, sending nothing.

    As /sms and the API would send it: exactly as written. Where it is cut, what makes it unicode, and what would make
    it cheaper. Exits 1 where the config makes them refuse it.
    """
    from bridge import previews
    from bridge.domain.preview import preview
    from bridge.domain.sms import fit

    typed_text = " ".join(written)
    if written == ["-"]:
        try:
            typed_text = sys.stdin.buffer.read().decode().removesuffix("\n")
        except UnicodeDecodeError as error:
            raise asking.failed(f"what stands in stdin is not UTF-8 (at byte {error.start})") from error
    elif not typed_text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in typed_text):
        raise asking.failed("the text is not UTF-8")
    rules = asking.load(config).house.sms if config else None
    wanted = str(alphabet) if alphabet else rules.alphabet if rules else None
    seen, page = preview(typed_text), None
    if wanted is not None:
        fitted = fit(typed_text, wanted)
        page = preview(fitted.text, fitted.replaced)
    refused = previews.why_not_typed(typed_text, rules.typed_max_segments) if rules else ""
    if output is Output.JSON:
        told = {"page": page and previews.as_json(page), "refused": refused or None}
        words.say_json(previews.as_json(seen) | told)
    else:
        words.say_preview(seen)
        if page is not None:
            words.say("")
            words.say(f"A page would say, with sms.alphabet {wanted}:")
            words.say_preview(page)
    if refused:
        raise asking.failed(f"refused: {refused}")


# --- through a running bridge ----------------------------------------------------------------------


@app.command()
def send(
    config: ConfigFile,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="A number, or a person of the config.")],
    text: Annotated[list[str], typer.Argument(metavar="TEXT…")],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Which of api.tokens to send as.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 unless it was delivered.")] = False,
    sender_id: Annotated[str | None, typer.Option("--sender-id", help="The name it comes from.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="18:00, or 2026-11-22T18:00.")] = None,
    validity: Annotated[str | None, typer.Option("--validity", help="How long the operator may try: 60m, 24h.")] = None,
    flash: Annotated[bool, typer.Option("--flash", help="Show it at once, and keep it nowhere.")] = False,
    shorten_links: Annotated[bool, typer.Option("--shorten-links", help="Let Mobizon shorten the links.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key never makes a second SMS.")
    ] = None,
    url: Url = None,
    token_file: TokenFile = None,
    output: Answer = Output.TEXT,
) -> None:
    """Hand one SMS to a running bridge."""
    from bridge.domain.house import Role
    from bridge.domain.preview import preview
    from bridge.previews import before

    loaded, clock = asking.load(config), SystemClock()
    zone = loaded.house.time_zone
    wanted: dict[str, Any] = {
        "to": number,
        "text": " ".join(text),
        "sender_id": sender_id,
        "send_at": typed.ahead(at, zone, clock.now()).isoformat() if at else None,
        "validity": int(validity) if validity is not None and validity.isdecimal() else validity,
        "flash": flash,
        "shorten_links": shorten_links,
        "idempotency_key": idempotency_key or secrets.token_hex(8),
    }

    async def hand_over() -> Any:
        async with asking.running_bridge(loaded, Role.RESPONDER, url, token_file, name=name) as client:
            sms = await asking.post_sms(client, wanted)
            if wait:
                with words.progress() as tell:
                    sms = await client.follow(
                        sms["id"], clock, lambda seen: tell(f"{words.name_of(seen)} · {words.fate(seen)}")
                    )
            return sms

    sms = asking.wait_for(hand_over())
    if output is Output.JSON:
        words.say_json(sms)
    else:
        words.say(words.sms_line(sms, zone))
        for sentence in before(preview(wanted["text"])):
            words.say(sentence)
    if wait and sms["state"] != "delivered":
        raise typer.Exit(1)


@app.command()
def incidents(
    config: ConfigFile,
    since: Annotated[str | None, typer.Option("--since", help=_SINCE)] = None,
    everything: Annotated[bool, typer.Option("--all", help="The ended ones too.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    output: Answer = Output.TEXT,
) -> None:
    """List incidents: the open ones, or all.

    With --since the ended ones too.
    """
    loaded = asking.load(config)
    zone = loaded.house.time_zone
    asked = {"all": "true"} if everything else {}
    found = asking.get(
        loaded, url, token_file, "/api/v1/incidents", asked | typed.since(since, zone, SystemClock().now())
    )
    if output is Output.JSON:
        words.say_json(found)
        return
    rows = [
        (
            f"#{one['id']}",
            one["state"],
            words.local(one["started_at"] or one["opened_at"], zone),
            words.local(one["ended_at"], zone),
            one["severity"],
            one["route"] or "none",
            one["acknowledged_by"] or "",
            " ".join([one["title"], *one["places"][:3]]),
        )
        for one in found["items"]
    ]
    words.table(("number", "state", "since", "over", "severity", "route", "taken by", "what"), rows, "no incidents")


@app.command()
def show(
    config: ConfigFile,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="Of an incident or an SMS: 1042 or #1042.")],
    url: Url = None,
    token_file: TokenFile = None,
    output: Answer = Output.TEXT,
) -> None:
    """Show one incident or SMS whole.

    Every SMS with its times and Mobizon id, and what happened when.
    """
    wanted = typed.our_number(number)
    loaded = asking.load(config)
    found = asking.wait_for(asking.whole(loaded, url, token_file, wanted))
    if output is Output.JSON:
        words.say_json(found)
        return
    zone = loaded.house.time_zone
    if "notifications" in found:
        words.say_incident(found, zone)
    else:
        words.say(words.sms_line(found, zone))
        words.say_notifications([found], zone)
    words.say("")
    rows = [(words.local(entry["at"], zone), entry["what"], entry["who"]) for entry in found["timeline"]]
    words.table(("when", "what", "who"), rows, "nothing happened yet")


@app.command()
def receipts(
    config: ConfigFile,
    since: Annotated[str, typer.Option("--since", help=_SINCE)] = "1d",
    url: Url = None,
    token_file: TokenFile = None,
    output: Answer = Output.TEXT,
) -> None:
    """List webhooks, and what became of each."""
    loaded = asking.load(config)
    zone = loaded.house.time_zone
    found = asking.get(loaded, url, token_file, "/api/v1/receipts", typed.since(since, zone, SystemClock().now()))
    if output is Output.JSON:
        words.say_json(found)
        return
    rows = [
        (
            str(one["id"]),
            words.local(one["received_at"], zone),
            one["source"],
            one["state"],
            words.outcome(one["result"]),
        )
        for one in found["items"]
    ]
    words.table(("id", "received", "source", "state", "what became of it"), rows, "nothing arrived")


@app.command()
def replay(
    config: ConfigFile,
    receipt: Annotated[int, typer.Argument(metavar="ID", help="A number that `receipts` lists.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only explain what it would do.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    output: Answer = Output.TEXT,
) -> None:
    """Put a stored webhook through again."""
    from bridge.domain.house import Role

    loaded = asking.load(config)
    if dry_run:
        kept = asking.wait_for(asking.kept_receipt(loaded.storage.path, receipt))
        _explain(loaded, kept.source, kept.body, kept.route, output, SystemClock().now())
        return

    async def again() -> Any:
        async with asking.running_bridge(loaded, Role.OPERATOR, url, token_file) as client:
            return await client.post(f"/api/v1/receipts/{receipt}/replay")

    answer = asking.wait_for(again())
    if output is Output.JSON:
        words.say_json(answer)
    else:
        words.say(f"receipt {receipt} goes through again as receipt {answer['receipt']}")


# --- Mobizon itself --------------------------------------------------------------------------------


@app.command()
def balance(config: ConfigFile, output: Answer = Output.TEXT) -> None:
    """Say how much money is left at Mobizon."""
    loaded = asking.load(config)

    async def ask() -> Any:
        async with asking.gateway(loaded) as gateway:
            return asking.answered(await gateway.balance())

    left = asking.wait_for(ask())
    if output is Output.JSON:
        words.say_json({"amount": str(left.amount), "currency": left.currency})
    else:
        words.say(f"{left.amount.normalize():f} {left.currency}")


@app.command()
def bill(
    config: ConfigFile,
    month: Annotated[str | None, typer.Option("--month", metavar="YYYY-MM", help="This one without it.")] = None,
    by: Annotated[BillBy, typer.Option("--by", help="What the lines stand for.")] = BillBy.ROUTE,
    url: Url = None,
    token_file: TokenFile = None,
    output: Annotated[BillOutput, typer.Option("--output", "-o", help="csv is for spreadsheets.")] = BillOutput.TEXT,
) -> None:
    """Add up what a month cost.

    By route, person, asker or day; what was not delivered apart; the dearest incidents; and whether Mobizon lists SMS
    that are not ours.
    """
    from bridge.cli import bills
    from bridge.domain.house import Role

    loaded, clock = asking.load(config), SystemClock()
    zone = ZoneInfo(loaded.mobizon.time_zone) if loaded.mobizon.time_zone else loaded.house.time_zone
    asked = {"by": str(by), **({"month": month} if month else {})}

    async def ask() -> Any:
        async with asking.running_bridge(loaded, Role.OBSERVER, url, token_file) as client:
            found = await client.get("/api/v1/bill", **asked)
            since, until = (datetime.fromisoformat(found[key]) for key in ("since", "until"))
            async with asking.gateway(loaded) as gateway:
                with words.progress() as tell:
                    listed = await bills.listed(gateway, clock, zone, since, until, tell)
            # Asked for after the list was read: what the bridge sent meanwhile is ours as well.
            return await client.get("/api/v1/bill", ids="true", **asked), listed

    found, listed = asking.wait_for(ask())
    ours, in_doubt = set(found.pop("mobizon_ids")), set(found.pop("in_doubt", None) or ())
    known = isinstance(listed, list)
    found["others"] = bills.others(listed, ours, in_doubt, found["currency"] or "") if known else None
    match output:
        case BillOutput.JSON:
            words.say_json(found)
        case BillOutput.CSV:
            typer.echo(bills.as_csv(found), nl=False)
        case _:
            bills.say(found)
    if not isinstance(listed, list):
        raise asking.failed(f"whether somebody else uses the key is not known: {listed.reason}")


@app.command()
def status(
    config: ConfigFile,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="Mobizon's message ids.")],
    output: Answer = Output.TEXT,
) -> None:
    """Ask Mobizon what became of messages.

    Our own number is named beside each that we sent.
    """
    if ours := next((one for one in ids if not one.isdecimal()), None):
        raise typer.BadParameter(f"{ours} is no Mobizon id; for a number of ours there is: sms-bridge show {ours}")
    loaded = asking.load(config)

    async def ask() -> Any:
        async with asking.gateway(loaded) as gateway:
            return asking.answered(await gateway.statuses(ids)), await asking.ours_by_message(loaded.storage.path, ids)

    statuses, known = asking.wait_for(ask())
    reports = [statuses.reports[one] for one in dict.fromkeys(ids) if one in statuses.reports]
    if output is Output.JSON:
        items = [
            {
                "mobizon_id": report.message_id,
                "ours": known.get(report.message_id),
                "status": report.status,
                "verdict": report.verdict,
                "reason": report.reason,
                "segments": report.segments,
                "start_sent": report.start_sent,
                "status_updated": report.status_updated,
            }
            for report in reports
        ]
        words.say_json({"items": items, "missing": list(statuses.missing)})
    else:
        rows = [
            (
                report.message_id,
                f"#{known[report.message_id]}" if report.message_id in known else "",
                report.status,
                str(report.segments or ""),
                report.start_sent or "",
                report.status_updated or "",
                report.reason,
            )
            for report in reports
        ]
        rows += [
            (one, f"#{known[one]}" if one in known else "", "not known", "", "", "", "") for one in statuses.missing
        ]
        words.table(("Mobizon id", "ours", "status", "segments", "sent", "updated", "why"), rows, "nothing")
    if statuses.missing:
        raise typer.Exit(1)


_LISTED = (
    *("id", "campaign_id", "to", "text", "status", "sender_id", "segments", "segment_price", "start_sent"),
    *("status_updated", "country", "operator", "campaign_name", "campaign_created"),
)


@app.command()
def messages(
    config: ConfigFile,
    to: Annotated[str | None, typer.Option("--to", help="A number, or a part of one.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The whole text, exactly.")] = None,
    sender: Annotated[str | None, typer.Option("--from", help="The sender ID it was asked for with.")] = None,
    state: Annotated[str | None, typer.Option("--status", help="Mobizon's word: DELIVRD, EXPIRED …")] = None,
    campaign_id: Annotated[list[str] | None, typer.Option("--campaign-id", help="May be given again.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help=f"{_SINCE} 7d unless --campaign-id is given.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="The same, for the end.")] = None,
    sort: Annotated[
        list[str] | None, typer.Option("--sort", metavar="FIELD:asc|desc", help="id:desc, to:asc …")
    ] = None,
    page: Annotated[int, typer.Option("--page", min=0, help="Counted from 0, as Mobizon does.")] = 0,
    page_size: Annotated[int, typer.Option("--page-size", help="25, 50 or 100.")] = 25,
    number_info: Annotated[bool, typer.Option("--number-info", help="Country and operator too.")] = False,
    output: Answer = Output.TEXT,
) -> None:
    """List the messages of the account at Mobizon.

    Numbers and texts in full: it is the operator's own account.
    """
    from bridge.ports import MessageQuery

    loaded, now = asking.load(config), SystemClock().now()
    zone = ZoneInfo(loaded.mobizon.time_zone) if loaded.mobizon.time_zone else loaded.house.time_zone
    criteria: dict[str, str | Sequence[str]] = {}
    if to is not None:
        criteria["to"] = "".join(sign for sign in to if sign.isdecimal())
    criteria |= {key: value for key, value in (("text", text), ("from", sender)) if value is not None}
    if state is not None:
        criteria["status"] = state.upper()
    if campaign_id:
        criteria["campaignIds"] = campaign_id
    if since is not None or until is not None or not campaign_id:
        # Told no range, Mobizon leaves out what is older than it likes, and does not say so.
        first = typed.ago(since or "7d", zone, now)
        last = typed.ago(until, zone, now) if until else now + timedelta(days=1)
        criteria["campaignCreateTsFrom"] = f"{first.astimezone(zone):%Y-%m-%d %H:%M:%S}"
        criteria["campaignCreateTsTo"] = f"{last.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    sorting = {}
    for one in sort or ():
        field, _, direction = one.partition(":")
        sorting[field] = (direction or "asc").upper()

    async def ask() -> Any:
        async with asking.gateway(loaded) as gateway:
            try:
                found = await gateway.messages(MessageQuery(criteria, page, page_size, sorting, number_info))
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
            return asking.answered(found)

    found = asking.wait_for(ask())
    if output is Output.JSON:
        items = [{key: getattr(one, key) for key in _LISTED} for one in found.items]
        words.say_json({"items": items, "total": found.total, "page": page, "page_size": page_size})
        return
    columns = ["Mobizon id", "to", "status", "from", "segments", "price", "updated"]
    columns += ["country", "operator"] if number_info else []
    rows = []
    for one in found.items:
        price = f"{one.segment_price.normalize():f}" if one.segment_price is not None else None
        row = [one.id, one.to, one.status, one.sender_id, one.segments, price, one.status_updated]
        row += [one.country, one.operator] if number_info else []
        rows.append([*("" if cell is None else str(cell) for cell in row), one.text])
    words.table([*columns, "text"], rows, "no messages")
    pages = -(-found.total // page_size)
    if pages > 1:
        typer.echo(f"page {page} of 0 to {pages - 1}, {found.total} messages", err=True)


# --- doctor ----------------------------------------------------------------------------------------


@app.command()
def doctor(
    config: ConfigFile,
    sms: Annotated[
        str | None, typer.Option("--sms", metavar="PERSON", help="Send one marked test, and follow it to the handset.")
    ] = None,
    output: Answer = Output.TEXT,
) -> None:
    """Look whether all is well, and say what to do.

    Mobizon, Telegram, database, clock, the bridge itself: one line each.
    """
    from bridge.client import address
    from bridge.doctor import Finding, Mark, examine, send_test
    from bridge.domain.house import Role

    loaded, clock = asking.load(config), SystemClock()
    if sms is not None and sms not in loaded.house.people:
        raise typer.BadParameter(f"nobody is called {sms}; there are: {', '.join(loaded.house.people) or 'none'}")
    findings: list[Finding] = []
    marks = {Mark.GOOD: ("✓", "green"), Mark.NOTE: ("!", "yellow"), Mark.BAD: ("✗", "red")}

    def note(finding: Finding) -> None:
        findings.append(finding)
        if output is Output.TEXT:
            sign, colour = marks[finding.mark]
            told = words.clean(f"{finding.what}; {finding.to_do}" if finding.to_do else finding.what)
            typer.echo(f"{typer.style(sign, fg=colour)} {told}")

    async def look() -> None:
        async for finding in examine(loaded, clock, address(loaded)):
            note(finding)
        if sms is not None:
            async with asking.running_bridge(loaded, Role.RESPONDER, None, None) as client:
                with words.progress() as tell:
                    tested = await send_test(loaded, clock, client, sms, lambda seen: tell(words.fate(seen)))
            for finding in tested:
                note(finding)

    asking.wait_for(look())
    if output is Output.JSON:
        words.say_json([{"mark": one.mark, "what": one.what, "to_do": one.to_do} for one in findings])
    if any(finding.mark is Mark.BAD for finding in findings):
        raise typer.Exit(1)


def _explain(config: "Config", source: str, body: bytes, route: str | None, output: Output, now: datetime) -> None:
    from bridge.explain import CannotExplain
    from bridge.explain import explain as rehearse

    try:
        found = asking.wait_for(rehearse(config, source, body, now, route=route))
    except CannotExplain as error:
        raise asking.failed(str(error)) from error
    if output is Output.JSON:
        words.say_json(words.explanation_json(found))
    else:
        words.say_explanation(found, config.house.watch.chat)
    if found.problem:
        raise typer.Exit(1)


def _explain_rules(
    paths: Sequence[Path], config: "Config | None", source: str | None, output: Output, now: datetime
) -> None:
    from bridge.explain_rules import NO_CONFIG, read_rules
    from bridge.rules import read

    house = config.house if config else NO_CONFIG
    if source is not None and source not in house.sources:
        raise asking.failed(f"no source is called {source}; there are: {', '.join(house.sources) or 'none'}")
    found = read(paths)
    readings = list(read_rules(found.rules, house, now, source=source))
    if output is Output.JSON:
        words.say_json(words.readings_json(readings, found.problems))
    else:
        words.say_readings(readings, has_config=config is not None)
    if found.problems:
        raise asking.failed(*found.problems)
