"""Capabilities and process descriptions of WPS 1.0.0, valid as PyWPS's own are not."""

from __future__ import annotations

import functools
from typing import Any

from pywps.inout.basic import BasicLiteral
from pywps.response.capabilities import CapabilitiesResponse
from pywps.response.describe import DescribeResponse

from joblauncher.shared.lineage import text
from joblauncher.shared.response import templates


@functools.cache
def _templates() -> Any:
    environment = templates("pywps_hpc.web")
    environment.filters["literal"] = text
    return environment


class Capabilities(CapabilitiesResponse):  # type: ignore[misc]
    """The answer to GetCapabilities (OGC 05-007r7, clause 8.3)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.template_env = _templates()


class Descriptions(DescribeResponse):  # type: ignore[misc]
    """The answer to DescribeProcess (OGC 05-007r7, clause 9.3)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.template_env = _templates()

    @property
    def json(self) -> dict[str, Any]:
        """What the template is filled with: PyWPS writes a default value as Python does."""
        facts: dict[str, Any] = super().json
        facts["processes"] = [
            _with_defaults(self.processes[process["identifier"]], process)
            for process in facts["processes"]
        ]
        return facts


def _with_defaults(process: Any, facts: dict[str, Any]) -> dict[str, Any]:
    for item, told in zip(process.inputs, facts["inputs"], strict=True):
        if isinstance(item, BasicLiteral) and item.data is not None:
            told["default_text"] = text(item.data)
    return facts
