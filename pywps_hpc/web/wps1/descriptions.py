"""Capabilities and process descriptions of WPS 1.0.0, valid as PyWPS's own are not."""

from __future__ import annotations

from typing import Any

from pywps.response.capabilities import CapabilitiesResponse
from pywps.response.describe import DescribeResponse

from pywps_hpc.web import described


class Capabilities(CapabilitiesResponse):  # type: ignore[misc]
    """The answer to GetCapabilities (OGC 05-007r7, clause 8.3)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.template_env = described.environment()

    @staticmethod
    def _render_json_response(facts: Any) -> Any:
        return described.in_json(facts)


class Descriptions(DescribeResponse):  # type: ignore[misc]
    """The answer to DescribeProcess (OGC 05-007r7, clause 9.3)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.template_env = described.environment()

    @property
    def json(self) -> dict[str, Any]:
        """What the template is filled with."""
        facts: dict[str, Any] = super().json
        facts["processes"] = [
            described.with_defaults(self.processes[process["identifier"]], process)
            for process in facts["processes"]
        ]
        return facts

    @staticmethod
    def _render_json_response(facts: Any) -> Any:
        return described.in_json(facts)
