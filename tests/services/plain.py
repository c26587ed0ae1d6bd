"""PyWPS's default mode: the same service, its outputs and status documents served as files."""

from __future__ import annotations

import importlib
import os

from pywps import configuration
from werkzeug.middleware.shared_data import SharedDataMiddleware

_module, _, _name = os.environ["PLAIN_SERVICE"].partition(":")
_service = getattr(importlib.import_module(_module), _name)
application = SharedDataMiddleware(
    _service, {"/outputs": configuration.get_config_value("server", "outputpath")}, cache=False
)
