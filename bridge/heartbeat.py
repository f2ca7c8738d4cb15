"""Tells somebody outside that we live: silence there is the alarm of last resort."""

import logging

import httpx

from bridge.domain.secret import Secret

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # seconds an operation


async def beat(url: Secret) -> bool:
    """Call the heartbeat address once; whether it answered well. The address is never logged: it is a secret."""
    # Our own client a minute: a cancelled request may cost it a connection, and nothing else.
    async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http:
        try:
            answer = await http.get(url.reveal())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the heartbeat address did not answer: %s", type(error).__name__)
            return False
    if answer.is_success:
        return True
    log.warning("the heartbeat address answered %s", answer.status_code)
    return False
