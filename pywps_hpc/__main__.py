"""``python -m pywps_hpc``: the same as ``pywps-hpc``."""

from pywps_hpc.cli import main

main()
