"""The service, for mod_wsgi: what your own WSGI file has, and the line with hpc()."""

import os

os.environ["PYWPS_CFG"] = "/etc/pywps-hpc/pywps.cfg"

from my_service.wsgi import application as service

from pywps_hpc import hpc

application = hpc(service)
