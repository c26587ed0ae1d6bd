"""What is measured of a service, for Prometheus, and where it can be asked for.

:mod:`~pywps_hpc.metrics.meters` counts what happens in this process,
:mod:`~pywps_hpc.metrics.table` tells what the job table and the spool say, and
:mod:`~pywps_hpc.metrics.endpoint` answers scrapes.
Without an address in ``[hpc.metrics]`` nothing is measured, and ``prometheus_client`` not needed.
"""
