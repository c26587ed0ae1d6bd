"""The service that the OGC's test suites are run against; ``conformance.cfg`` is its configuration.

pywps-hpc serve examples.conformance:service --config examples/conformance.cfg
"""

import os
from typing import Any

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS reads it at import and stumbles over an empty value

from pywps import Service

from examples.processes import echo, echo_api


class SuiteService(Service):  # type: ignore[misc]
    """Takes every client for one account, as a web server that authenticates would tell it: the
    suite looks for its jobs in the list, which is empty for whoever has not logged in."""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return super().__call__(environ | {"REMOTE_USER": "suite"}, start_response)


service = SuiteService([echo.Echo(), echo_api.Echo()])
