"""What aiohttp alone can do: read the body, answer 202. The measure beside which ours stands."""

import sys

import uvloop
from aiohttp import web


async def _take(request: web.Request) -> web.Response:
    await request.read()
    return web.json_response({"receipt": 1}, status=202)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/webhooks/{source}", _take)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())
