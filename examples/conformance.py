"""The service that the OGC's test suites are run against; ``conformance.cfg`` is its configuration.

pywps-hpc serve examples.conformance:service --config examples/conformance.cfg
"""

import os

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS reads it at import and stumbles over an empty value

from pywps import Service

from examples.processes import echo, echo_api

service = Service([echo.Echo(), echo_api.Echo()])
