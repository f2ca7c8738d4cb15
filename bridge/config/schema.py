"""Every key of the config file, once: what the reader knows, what editors check and what config.example.yaml shows."""

from typing import Any

from bridge.domain.incident import MOST_ROUNDS

Schema = dict[str, Any]

HEARTBEAT = "heartbeat"
KINDS = ("alertmanager", "generic", HEARTBEAT)
ALPHABETS = ("auto", "gsm7", "unicode")
ROLES = ("observer", "responder", "operator")
UPDATES = ("polling", "webhook")
PRIORITIES = ("normal", "critical")
KEY_PLACES = ("query", "body")

# A name is said aloud, typed after /sms and put into URLs; never only digits, which would be a number.
NAME = r"^(?=.*[^\W\d_])[\w-]{1,40}$"
_DURATION = r"^[1-9][0-9]*[smhdw]$"


def config_schema() -> Schema:
    """JSON Schema (2020-12) of the config file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sms-bridge config",
        **FILE,
    }


def _text(why: str, **more: Any) -> Schema:
    return {"description": why, "type": "string", "minLength": 1, **more}


def _template(why: str) -> dict[str, Schema]:
    return {"template": _text(f"{why}."), "template_file": _text(f"{why}. Read from a file.")}


def _number(why: str, low: int | None = None, high: int | None = None) -> Schema:
    bounds = {"minimum": low, "maximum": high}
    return {"description": why, "type": "integer", **{name: b for name, b in bounds.items() if b is not None}}


def _flag(why: str) -> Schema:
    return {"description": why, "type": "boolean", "default": False}


def _choice(why: str, *words: str) -> Schema:
    return {"description": why, "enum": list(words)}


def _duration(why: str, **more: Any) -> Schema:
    return _text(why, pattern=_DURATION, **more)


def _words(why: str) -> Schema:
    return {"description": why, "type": "array", "items": {"type": "string"}}


def _secret(key: str, why: str) -> dict[str, Schema]:
    return {
        key: _text(f"{why}; ${{NAME}} takes it from the environment."),
        f"{key}_file": _text(f"{why}, in a file that only we can read."),
    }


def _keys(why: str, properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    table = {"description": why, "type": "object", "properties": properties, "additionalProperties": False}
    return {**table, "required": list(required)} if required else table


def _named(why: str, each: Schema) -> Schema:
    return {"description": why, "type": "object", "propertyNames": {"pattern": NAME}, "additionalProperties": each}


def _windows(why: str) -> Schema:
    amount = {"type": "integer", "minimum": 1}
    return {
        "description": why,
        "type": "object",
        "propertyNames": {"pattern": f"{_DURATION}|^month$"},
        "additionalProperties": amount,
    }


_SERVER = _keys(
    "Where we listen.",
    {
        "listen": _text("Where senders and scripts on this machine reach us; another port.", default="127.0.0.1:9877"),
        "public_listen": _text(
            "A second address that may face the internet; serves webhooks, links and Telegram only."
        ),
        "public_url": _text("How the world reaches public_listen: for the link in a page, and Telegram's webhook."),
        "max_body": _text("A larger webhook is refused; raise it for enormous groups.", default="32MiB"),
        "allow_plain": _flag("Listening beyond this machine without TLS; put a proxy in front first."),
    },
)
_STORAGE = _keys(
    "What we remember, and how long.",
    {
        "url": _text("Where the database file lies, seen from this file's folder.", default="sqlite:data/bridge.db"),
        "keep": _duration("How long numbers and texts stay; times, counts and cost always do.", default="90d"),
    },
)
_MOBIZON = _keys(
    "The account that pays.",
    {
        "base_url": _text("The site where the account was opened; https://api.mobizon.kz, .com.br, …"),
        **_secret("api_key", "The key from the account's API settings"),
        "sender_id": _text("The name an SMS seems to come from; it has to be approved at Mobizon."),
        "api_key_in": _choice("Where the key travels; body keeps it out of a proxy's log.", *KEY_PLACES),
        "time_zone": _text("The account's own time zone, for SMS that Mobizon itself defers."),
        **_secret("report_token", "The last part of /delivery-reports/mobizon/…, where Mobizon may post its reports"),
        "concurrency": _number("How many requests are in flight; less for a small account.", 1, 16),
    },
    ("base_url",),
)
_TELEGRAM = _keys(
    "The bot; without it nobody sees a card or types /sms.",
    {
        **_secret("token", "What BotFather gave you"),
        "api_url": _text("A Bot API server of your own.", default="https://api.telegram.org"),
        "updates": _choice("webhook needs server.public_url and is quicker; polling needs nothing.", *UPDATES),
        "webhook_path": _text("The last part of the webhook's address, /telegram/…", default="updates"),
        **_secret("webhook_secret", "What Telegram shows with every update it brings"),
    },
)
_CHAT = _keys(
    "A chat that routes may name.",
    {
        "id": {"description": "The chat's id; the bot answers /id with it.", "type": "integer"},
        "topic": _number("One topic of a forum; /id in the topic tells it.", 1),
        "time_zone": _text("When this chat lives elsewhere than time_zone says."),
        "page": _text("The policy that /page climbs here."),
        "delete_commands": _flag("Takes typed commands out of the chat once they are stored; the bot must be admin."),
        "rota": _text("Whose turn oncall means in this chat."),
    },
    ("id",),
)
_PERSON = _keys(
    "Somebody who gets SMS, or asks for them.",
    {
        "phone": {"description": "Where the SMS go, with + and country code.", "type": ["string", "integer"]},
        "telegram_id": _number("The user id; /id tells it. Without one they only receive.", 1),
        "alphabet": _choice(
            "Of their SMS: auto spells Cyrillic in Latin where that saves a segment, gsm7 always, unicode never.",
            *ALPHABETS,
        ),
        "role": _choice("observer sees, responder also texts people of this file, operator any number.", *ROLES),
    },
)
_ROTA = _keys(
    "Turns of people: written here, or booked in an iCalendar file or feed.",
    {
        "people": _words("Who takes turns, in this order."),
        "every": _text(
            "How long a turn is. Days and weeks keep the hour when the clocks change; hours are counted as they pass.",
            pattern="^[1-9][0-9]{0,2}[hdw]$",
            default="1w",
        ),
        # No type: YAML 1.1 makes a date of it.
        "since": {"description": "The day the first one's turn began.", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "handover": _text("When the next one gets it, like monday 09:00; a time alone without weeks.", default="09:00"),
        "time_zone": _text("When these people live elsewhere than time_zone says."),
        "calendar": _text("An iCalendar file, seen from this file's folder; its events name whose turn it is."),
        **_secret("calendar_url", "The address of an iCalendar feed"),
    },
)
_RANGES = {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}}


def _ranges(why: str) -> Schema:
    return {"description": why, **_RANGES}


_HOURS = _keys(
    "All that stands here holds at once; what is not there does not restrict.",
    {
        "times": {
            "description": "Times of day.",
            "type": "array",
            "minItems": 1,
            "items": _keys(
                "From a minute up to, but not at, another; past midnight it takes two.",
                {"start_time": _text("HH:MM, the first minute."), "end_time": _text("HH:MM, the first one outside.")},
                ("start_time", "end_time"),
            ),
        },
        "weekdays": _ranges("monday:friday, saturday; the week begins on sunday."),
        "days_of_month": _ranges("1:5, 15; -1 is the last day."),
        "months": _ranges("may:august, 5:8, december."),
        "years": _ranges("2026:2028, 2030."),
        "location": _text("The time zone it is read in.", default="UTC"),
    },
)
_TIME_INTERVAL = _keys(
    "Hours with a name, as Alertmanager writes them.",
    {
        "name": _text("What routes call it.", pattern=NAME),
        "time_intervals": {
            "description": "It is now when any of these is.",
            "type": "array",
            "minItems": 1,
            "items": _HOURS,
        },
    },
    ("name", "time_intervals"),
)
_STEP = _keys(
    "Whom to notify, and how long to wait afterwards.",
    {
        "notify": _words("Names of people; chat is the card, which costs nothing."),
        "wait": _duration("How long they have before the next step is called.", default="5m"),
        "deliver_within": _text(
            "Not on anybody's handset by then: the next step is called at once; off waits.",
            pattern=f"{_DURATION}|^off$",
            default="2m",
        ),
    },
    ("notify",),
)
_POLICY = _keys(
    "Whom a route pages, and who is next if nobody takes it.",
    {
        "steps": {"description": "Called one after the other.", "type": "array", "minItems": 1, "items": _STEP},
        "repeat": _number("How often all steps are called once more.", 0, MOST_ROUNDS - 1),
        "delay": _duration("How long the chat alone has before the first SMS."),
        "ack_for": _duration("Taken so long ago and still firing: whoever has it is asked, then the rest called."),
        "resolved_sms": _flag("Those who were paged get an SMS when it is over."),
        "taken_sms": _flag("Those who were paged get an SMS when somebody else has it."),
        "remind": _flag("A reminder from the source calls everybody once more."),
        "reopen_within": _duration("What fires again so soon is the same incident.", default="10m"),
    },
    ("steps",),
)
_SOURCE = _keys(
    "A system that sends webhooks to /webhooks/NAME.",
    {
        "kind": _choice("The format; without it the source's own name.", *KINDS),
        **_secret("token", "The bearer token it shows; a file may hold several lines, all valid"),
        "basic": _keys(
            "For senders that know only user and password.",
            {"user": _text("The user name."), **_secret("password", "The password")},
            ("user",),
        ),
        "open": _flag("Takes webhooks from anybody who finds the address."),
        "routes": _words("The only routes it may name or match; all without it."),
        "api_url": _text("Alertmanager's own address: silences from the chat are made there."),
        **_secret("api_token", "The bearer token that a proxy before it wants to see"),
        "every": _duration("A heartbeat: how long it may be silent; more than twice its own pace, 30s to 7d."),
        "route": _text("A heartbeat: whom its silence is told, whatever the matchers of that route."),
        "dedup_window": _duration("The same news inside it is a repeat, later a reminder.", default="20m"),
    },
)
_ROUTE = _keys(
    "Which alerts go where; tried in order, the first match wins.",
    {
        "name": _text("What cards, logs and /webhooks/SOURCE/ROUTE call it.", pattern=NAME),
        "matchers": _words('Alertmanager\'s, all of them: severity="critical", team=~"db|web".'),
        "policy": _text("Whom it pages; without one it only shows the alert in the chat."),
        "chat": _text("Where its cards stand."),
        "priority": _choice("critical goes out before everything else.", *PRIORITIES),
        "continue": _flag("Goes on to the routes below after a match."),
        "silent": _flag("Cards that do not buzz."),
        "max_segments": _number("How long its pages may be; sms.max_segments without it.", 1, 10),
        "alphabet": _choice("Of its pages, as for people; sms.alphabet without it.", *ALPHABETS),
        "ttl": _duration("A page that could not leave for so long is dropped."),
        **_template("The words of its pages, Jinja2; those of sms.template without it"),
        "mute_time_intervals": _words(
            "Inside any of these it pages nobody; what still fires at the end is paged then."
        ),
        "active_time_intervals": _words("Outside all of these it pages nobody, until one begins."),
        "hold_time_intervals": _words("Inside any of these a page waits for its end."),
        "policy_at": {
            "description": "Another policy inside an interval; the first that is now counts.",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "limits": _windows("For the SMS about its incidents together, per window; no bound but the house's without."),
    },
    ("name",),
)
_SMS = _keys(
    "How texts are made and where they may go.",
    {
        "max_segments": _number("How long a page may be; each segment is billed.", 1, 10),
        "typed_max_segments": _number("How long a text of /sms or the API may be.", 1, 10),
        "alphabet": _choice(
            "auto keeps letters and replaces typography where that helps, unicode keeps both, gsm7 spells in Latin.",
            *ALPHABETS,
        ),
        "default_region": _text("The country of numbers written without one, like 8 701 000 00 01."),
        "allowed_regions": _words("The only countries an SMS goes to; default_region alone without it."),
        "confirm_above_segments": _number("Longer texts ask before they are sent.", 1, 10),
        "where": _words("Labels that say which one: the first that an alert has, or that differs within a group."),
        "prices": {
            "description": "What a segment costs by country, like KZ: 20.50 KZT; only until Mobizon has told.",
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z]{2}$"},
            "additionalProperties": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?[A-Z]{3}$"},
        },
        "validity": _duration("How long the operator tries; a page of 02:00 wakes nobody at 07:00.", default="60m"),
        **_template("The words of pages, Jinja2; the bridge's own without it"),
    },
)
_LIMITS = _keys(
    "At most so many segments; a fault must not spend the account.",
    {
        "per_person": _windows("For one number, per window."),
        "total": _windows("For the house, per window."),
        "per_asker": _windows("For one who sends by /sms, or one API token, per window; no bound without it."),
        "critical_share": _text(
            "The part of total that is kept for critical routes.", default="10%", pattern="^[0-9]+%$"
        ),
        "soft": _text(
            "From this part of total or of a route's limits on, normal pages leave together only; 100% is never.",
            default="80%",
            pattern="^[0-9]+%$",
        ),
        "typed_share": _text("The part of total that /sms and the API may use.", default="70%", pattern="^[0-9]+%$"),
    },
)
_STORM = {
    **_keys(
        "Many incidents at once on one route are paged as one; or off.",
        {
            "alerts": _number("So many new incidents on one route are a storm.", 2),
            "within": _duration("How short a time they come in.", default="1m"),
            "gather": _duration(
                "After a page the next ones about its route wait so long for each other.", default="10s"
            ),
            "calm": _duration("A storm is over when nothing was new for so long.", default="5m"),
        },
    ),
    "type": ["object", "string"],
    "pattern": "^off$",
}
_WATCH = _keys(
    "Where the bridge speaks about itself.",
    {
        "chat": _text("Troubles of the bridge, and alerts that no route matches."),
        "notify": _words("Who gets one SMS when Telegram itself is away."),
        **_secret("heartbeat_url", "Called each minute; its silence is the alarm of last resort"),
        "balance_below": {"description": "Rings when less money is left.", "type": "number", "minimum": 0},
        "days_below": _number(
            "Rings when money for fewer days is left, at the pace of the last week; 0: never.", 0, 365
        ),
    },
)
_API = _keys(
    "The HTTP API.",
    {
        "tokens": _named(
            "Who may use it.",
            _keys(
                "One script or colleague.",
                {
                    **_secret("token", "The bearer token"),
                    "role": _choice("As for people: operator may text any allowed number.", *ROLES),
                },
            ),
        )
    },
)
FILE = _keys(
    "Unknown keys are errors.",
    {
        "time_zone": _text("Clocks on cards and in SMS.", default="UTC"),
        "server": _SERVER,
        "storage": _STORAGE,
        "mobizon": _MOBIZON,
        "telegram": _TELEGRAM,
        "chats": _named("Chats by the name that routes use.", _CHAT),
        "people": _named("People by the name that policies and /sms use.", _PERSON),
        "rotas": _named("Rotas by name.", _ROTA),
        "time_intervals": {"description": "Hours by name.", "type": "array", "items": _TIME_INTERVAL},
        "policies": _named("Escalation policies by name.", _POLICY),
        "sources": _named("Alert sources by name.", _SOURCE),
        "routes": {"description": "Rules from alert to policy and chat.", "type": "array", "items": _ROUTE},
        "sms": _SMS,
        "limits": _LIMITS,
        "storm": _STORM,
        "watch": _WATCH,
        "api": _API,
    },
    ("mobizon",),
)

_LATER = "comes in a later version; remove it for now"
# Keys of the finished product that this version does not know yet.
LATER = dict.fromkeys(("hmac_secret", "hmac_secret_file", "max_unsigned_body"), _LATER)
OTHER_NAMES = {"notify_resolved": "resolved_sms"}
"""What keys are called elsewhere, or once were called, and what they are called here."""
