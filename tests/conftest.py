"""Lets aioresponses make responses of the aiohttp we run on."""

import inspect
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core as _core

if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:

    class _Response(aiohttp.ClientResponse):
        """aioresponses 0.7.8 does not know the `stream_writer` that aiohttp 3.14 asks for."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **kwargs)

    _core.ClientResponse = _Response  # type: ignore[attr-defined]  # the seam that aioresponses leaves
