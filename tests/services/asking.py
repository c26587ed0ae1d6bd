"""A process that tells how many processors it believes to have."""

from __future__ import annotations

import os
from typing import Any

from pywps import Process, Service

from odd_kit import OPEN, result, word


class Threads(Process):
    """Tells the number of threads that numeric libraries start in its job."""

    def __init__(self) -> None:
        super().__init__(
            self._handler, "threads", "Threads", inputs=[word()], outputs=[result()], **OPEN
        )

    def _handler(self, request: Any, response: Any) -> None:
        names = ",".join(sorted(request.inputs))
        response.outputs["result"].data = f"{os.environ['OMP_NUM_THREADS']} {names}"


service = Service([Threads()])
