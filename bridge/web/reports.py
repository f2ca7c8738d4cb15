"""Mobizon's own delivery webhook: it only makes us ask sooner, for its signature does not cover what it says."""

from aiohttp import web

from bridge.clock import Clock
from bridge.config import Config
from bridge.dispatcher import Dispatcher
from bridge.ports import Live
from bridge.sources import NotJson, read_json
from bridge.web.bodies import read_body
from bridge.web.problems import Problem

_LARGEST_REPORT = 64 * 1024
_LONGEST_ID = 40


class DeliveryReports:
    """The handler of `/delivery-reports/mobizon/{token}`; the token in the address is the credential."""

    def __init__(self, config: Live[Config], dispatcher: Dispatcher, clock: Clock) -> None:
        self._config = config
        self._dispatcher = dispatcher
        self._clock = clock

    async def receive(self, request: web.Request) -> web.Response:
        token = self._config.value.mobizon.report_token
        if token is None or not token.matches(request.match_info["token"]):
            raise Problem(401, "the last part of this address is not mobizon.report_token")
        body = await read_body(request, _LARGEST_REPORT, self._clock)
        try:
            told = read_json(body)
        except NotJson as error:
            raise Problem(400, f"not a delivery report: {error}") from error
        data = told.get("data") if isinstance(told, dict) else None
        message_id = data.get("messageId") if isinstance(data, dict) else None
        if not isinstance(message_id, int | str) or not str(message_id) or len(str(message_id)) > _LONGEST_ID:
            raise Problem(400, "data.messageId: not there; Mobizon's sms-delivery-report has it")
        await self._dispatcher.delivery_hint([str(message_id)])
        return web.json_response({})
