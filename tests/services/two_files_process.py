"""A process whose module reads the service's own settings when it is imported."""

from __future__ import annotations

import json
from typing import Any

from pywps import Process, configuration

from odd_kit import OPEN, document, result

SIZE = int(configuration.get_config_value("odd", "size"))


class Configured(Process):
    """Tells of settings from each of the files."""

    def __init__(self) -> None:
        super().__init__(
            self._handler,
            identifier="configured",
            title="Configured",
            outputs=[result(), document("where")],
            **OPEN,
        )

    def _handler(self, _request: Any, response: Any) -> None:
        settings = {
            "size": SIZE,
            "answer": configuration.get_config_value("odd", "answer"),
            "colour": configuration.get_config_value("odd:more", "colour"),
        }
        response.outputs["result"].data = json.dumps(settings, sort_keys=True)
        response.outputs["where"].data = "here"
