"""One typed, frozen object for everything an administrator can set.

Our sections live in the service's own PyWPS configuration file: ``[hpc]``, ``[hpc.ssh]``,
``[hpc.inputs]``, ``[hpc.callbacks]``, ``[hpc.retention]``, ``[hpc.metrics]``,
``[hpc.container]``, ``[hpc.resources]`` and, for one process, ``[hpc.process.<identifier>]``, which
may hold any key of the two sections before it.

:mod:`~pywps_hpc.settings.sections` and :mod:`~pywps_hpc.settings.model` have the objects,
:mod:`~pywps_hpc.settings.readers` and :mod:`~pywps_hpc.settings.paths` read single values,
:mod:`~pywps_hpc.settings.loader` reads files, :mod:`~pywps_hpc.settings.checks` says what cannot be
used, and :mod:`~pywps_hpc.settings.reference` describes every key.
"""

from pywps_hpc.errors import SettingsError
from pywps_hpc.settings.loader import Read, build, load, load_to_run, load_to_serve, read_files
from pywps_hpc.settings.model import ProcessSettings, Sections, Settings
from pywps_hpc.settings.resources import Resources
from pywps_hpc.settings.sections import Container, Inputs, Retention, Ssh

__all__ = [
    "Container",
    "Inputs",
    "ProcessSettings",
    "Read",
    "Resources",
    "Retention",
    "Sections",
    "Settings",
    "SettingsError",
    "Ssh",
    "build",
    "load",
    "load_to_run",
    "load_to_serve",
    "read_files",
]
