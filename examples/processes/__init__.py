"""Ordinary PyWPS processes; nothing in here knows of pywps-hpc.

The scientific libraries are imported when a process runs, not when it is described, so a web server
that only offers these processes needs PyWPS alone.
"""

from .climate_anomaly import ClimateAnomaly
from .countdown import Countdown
from .geometry import ClipFeatures
from .whereami import WhereAmI

__all__ = ["ClimateAnomaly", "ClipFeatures", "Countdown", "WhereAmI"]
