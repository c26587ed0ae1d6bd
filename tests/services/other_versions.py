"""The odd processes in a service whose packages are not those of the image, one after the other."""

import itertools

from joblauncher.shared import dump
from odd import service as service

_true = dump.versions()
_others = itertools.cycle(
    [{"python": "3.99.1"}, {"dill": "9.9.9"}, {"pywps": "5.0.0"}]  # by request, from one worker
)
dump.versions = lambda: {**_true, **next(_others)}
