"""An application that cannot be imported, in the way that its configuration names."""

from __future__ import annotations

import errno
import os
from configparser import RawConfigParser
from pathlib import Path

_DATA = Path("/nowhere/stations.nc")
_own = RawConfigParser()
_own.read(os.environ["PYWPS_CFG"])
_way = _own.get("odd", "breaks")

if _way == "closed":
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(_DATA))
elif _way == "busy":
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(_DATA))
elif _way == "missing":
    _DATA.read_bytes()
elif _way == "package":
    import no_such_package  # noqa: F401
elif _way == "ends":
    os._exit(3)
raise RuntimeError("the stations\nare not here")
