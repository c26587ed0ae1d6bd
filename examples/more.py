"""A second service: what a process may have beside Python.

MPI ranks, a GPU, a command-line tool, an image of its own. Each says what is missing where it runs.
"""

from pywps import Service

from examples.processes.pi import Pi
from pywps_hpc import hpc

service = Service([Pi()])
application = hpc(service)
