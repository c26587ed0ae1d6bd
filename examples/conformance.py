"""The service that the OGC's test suites are run against; ``conformance.cfg`` is its configuration.

pywps-hpc serve examples.conformance:service --config examples/conformance.cfg
"""

import os

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS reads it at import and stumbles over an empty value

from pywps import Service

from examples.processes.echo import Echo

service = Service([Echo()])
