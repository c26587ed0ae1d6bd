"""The odd processes in a service whose packages are not those of the image, one after the other."""

import itertools

from joblauncher import payload
from odd import service as service

_true = payload.versions()
_others = itertools.cycle(
    [{"python": "3.99.1"}, {"dill": "9.9.9"}, {"pywps": "5.0.0"}]  # by request, from one worker
)
payload.versions = lambda: {**_true, **next(_others)}
