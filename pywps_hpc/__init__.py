"""pywps-hpc: run the processes of any PyWPS service on an HPC cluster.

In a WSGI file::

    from pywps import Service
    from pywps_hpc import hpc

    application = hpc(Service(processes, ["pywps.cfg"]))
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joblauncher.shared import IN_JOB

if TYPE_CHECKING:
    from pywps import Service

__version__ = "0.1.0"
__all__ = ["__version__", "hpc"]


def hpc(service: Any, config: Sequence[str | Path] = ()) -> Service:
    """Wrap an existing PyWPS service, so that its processes run as batch jobs.

    Args:
        service: a :class:`pywps.Service`, or an object of a class made from it. It is not copied:
            processes added to it later are served too.
        config: the configuration files that the service was given, named in error messages only.

    Returns:
        The service as a WSGI application. Where ``[processing] mode`` is not ``scheduler`` and
        there is no ``[hpc]`` section, that is ``service`` itself; so it is inside a job, which may
        import the file that calls this.

    Raises:
        SettingsError: the configuration cannot be used; one line says where and why.
    """
    if IN_JOB in os.environ:
        return service
    from pywps_hpc.web.wrap import wrap

    return wrap(service, [str(file) for file in config])
