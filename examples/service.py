"""An ordinary PyWPS service, and the two lines that take its jobs to the cluster.

Its configuration is the file named by the environment variable ``PYWPS_CFG``, if there is one. With
``[processing] mode = scheduler`` in it, ``application`` runs the processes as batch jobs; otherwise
the same file is plain PyWPS.
"""

import os

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS reads it at import and stumbles over an empty value

from pywps import Service

from examples.processes import ClimateAnomaly, ClipFeatures, Countdown, WhereAmI
from pywps_hpc import hpc

service = Service([ClimateAnomaly(), ClipFeatures(), Countdown(), WhereAmI()])
application = hpc(service)
