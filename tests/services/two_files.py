"""A service that is given several configuration files, with a setting that is read on import.

``TWO_FILES`` names the files. PyWPS itself hands none of them on to a job.
"""

from __future__ import annotations

import os

from pywps import Service, configuration

configuration.load_configuration(os.environ["TWO_FILES"].split(os.pathsep))

from two_files_process import Configured  # noqa: E402

service = Service([Configured()], os.environ["TWO_FILES"].split(os.pathsep))
