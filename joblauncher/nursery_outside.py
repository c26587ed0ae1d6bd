"""The half of a container's nursery that is outside: takes orders and supervises.

It starts the container and asks the half in there for launchers
(:mod:`joblauncher.container_half`):

::

    FOLDER/inside/    shown in the container, in place of the spool
    FOLDER/requests   connections to the half inside
    FOLDER/refused    why there is none; the scheduler reads it
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from joblauncher.container_half import ContainerHalf
from joblauncher.orders import Orders


class ContainerNursery(Orders):
    """``nursery.json`` has, beyond what :class:`~joblauncher.orders.Orders` reads, the ``command``
    and ``environment`` of the container."""

    INSIDE = "inside"

    def __init__(self, folder: Path, supervisor: str, lock: int) -> None:
        super().__init__(folder, supervisor, lock)
        command, environment = self._facts["command"], self._facts["environment"]
        self._inside = ContainerHalf(folder, folder / "requests", command, environment)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s joblauncher: %(message)s")

    def run(self) -> None:
        if self._inside.start():
            super().run()
        self._inside.close()

    def sources(self) -> Sequence[socket.socket]:
        return [self._inside.connection]

    def heed(self, ready: Collection[socket.socket]) -> bool:
        if self._inside.connection not in ready:
            return True
        lives, is_open = self._inside.receive(), self._listener is not None
        if self._inside.is_ready and not is_open:
            self.open()
        elif is_open and not self._inside.is_ready:
            self.close()
        return lives

    def check(self, connection: socket.socket) -> None:
        """Modules are looked at inside."""

    def launch(self, order: dict[str, Any], mark: tuple[str, str], log: int) -> tuple[int, int]:
        return self._inside.launch(order, mark, log)
