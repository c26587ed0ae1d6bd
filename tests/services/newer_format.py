"""The odd processes as a later release would send them: in a dump of another format."""

from joblauncher.shared import dump
from odd import service as service

dump.MAGIC = b"pywps-hpc job 2\n"
