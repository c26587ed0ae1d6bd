"""The dialect of each batch system, by its name in the configuration."""

from __future__ import annotations

from importlib import import_module

from pywps_hpc.dispatch.schedulers.dialect import Dialect
from pywps_hpc.systems import SYSTEMS

DIALECTS: dict[str, type[Dialect]] = {
    system: import_module(f"{__name__}.{system}").DIALECT for system in SYSTEMS
}
