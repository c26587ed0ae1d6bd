"""The odd processes as a later release would send them: in a dump of another format."""

from joblauncher import payload
from odd import service as service

payload.MAGIC = b"pywps-hpc job 2\n"
