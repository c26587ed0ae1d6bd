"""A second service: what a process may need beside Python.

MPI ranks, a GPU, a command-line tool. Each process says what is missing where it runs.
"""

from pywps import Service

from examples.processes.matrix_product import MatrixProduct
from examples.processes.pi import Pi
from examples.processes.raster_overview import RasterOverview
from pywps_hpc import hpc

service = Service([Pi(), MatrixProduct(), RasterOverview()])
application = hpc(service)
