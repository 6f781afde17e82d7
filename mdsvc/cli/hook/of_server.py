"""The books of a running server, as whoever follows a hook needs them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdsvc.control.adoption import Adopted, Terms
    from mdsvc.operating import Operator


class OfServer:
    """It is asked by one request after another."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator

    async def check_host(self, name: str) -> None:
        """Raises NotFound where there is no such host."""
        await asyncio.to_thread(self._operator.get_host, name)

    async def take_in(self, xml: bytes, host: str, terms: Terms) -> Adopted:
        """The guest of this domain, as it runs."""
        (adopted,) = await asyncio.to_thread(self._operator.import_guests, [xml], host, terms)
        return adopted

    async def let_go(self, uuid: str, host: str, project: str) -> bool:
        """Whether it was there, of this project and on this host."""
        return await asyncio.to_thread(self._operator.let_go, uuid, host, project)
