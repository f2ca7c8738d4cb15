"""The rules of paging, free of I/O: nothing in here awaits, reads a clock or writes a log.

The words we use, in code, SQL, logs, YAML and chat alike:

source        a system that sends webhooks, or the Telegram bot
receipt       the stored raw webhook, kept before it is understood
beat          a sign of life of a source whose silence is the alarm
alert         one report from a source, firing or resolved, with a dedup key
dedup key     what makes two alerts the same trouble
severity      how bad the source thinks it is; only routing reads it
route         the rule that picks policy and chat for an alert
incident      the trouble people answer for: triggered, acknowledged, resolved
to page       to notify people by SMS about an incident
person        someone in the config; a recipient is whoever a notification goes to
rota, on call turns of people; whose turn it is
policy, step  ordered rungs: whom to notify, then how long to wait
plan          all notifications of an incident, future ones included
notification  our promise to tell one recipient one text; a row of the outbox
outbox        the table of notifications, written with the decision that caused them
attempt       one try to hand a notification to the gateway, and the number that fences it
lease         how long a claim lasts
gateway       who carries our SMS: Mobizon
submitted     the gateway took it and gave a message id
delivery report  what became of a submitted SMS, final or not
delivered     on the handset; undelivered: the operator gave up; failed: never submitted
uncertain     it left and no answer came: look before sending again
price         what one segment to a country costs; cost: what an SMS was billed, which the gateway says at its end
segment       one billed part: 160 or 153 GSM-7 characters, 70 or 67 UCS-2 units (3GPP TS 23.038)
sender ID     the name an SMS seems to come from (Mobizon calls it "from" or alphaname)
card          the one chat message that shows an incident or an SMS and is edited as it changes
ring          a new chat message, which makes a phone buzz; an edit does not
trouble       something wrong with the bridge itself, told in the watch chat
timeline      what happened to an incident or SMS, by whom, when
tick          one pass of intake, sender, tracker, reporter or bot
throttle      a cap on segments in a window: of a phone, a route, who asks, and the house
soft limit    the share of a cap from which on normal pages to one person leave together
house         who and what the config names: people, chats, routes, policies and rules
"""
