"""What ``pywps-hpc web`` serves: an existing PyWPS application, wrapped if it is not yet."""

from __future__ import annotations

from typing import Any

from pywps_hpc.settings import SettingsError
from pywps_hpc.web.server.importing import Loaded, LoadFailed, import_application, why_not

_PYWPS_DEFAULT_URL = "http://localhost/wps"


def load(name: str, bind: str) -> Loaded:
    """Import the application and wrap it, if that has not been done.

    Args:
        name: ``MODULE:NAME`` of a :class:`pywps.Service` or of a WSGI application.
        bind: ``HOST:PORT`` that is listened on.

    Raises:
        LoadFailed: it cannot be served.
    """
    try:
        application = _wrapped(import_application(name), bind)
        from pywps_hpc.web.requests.limits import largest_request

        return Loaded(application, largest_request())
    except LoadFailed:
        raise
    except SettingsError as error:
        raise LoadFailed(" ".join(str(error).split())) from error
    except (Exception, SystemExit) as error:
        raise LoadFailed(why_not(name, error).what) from error


def _wrapped(application: Any, bind: str) -> Any:
    # Not before the application is imported, which may choose PyWPS's configuration.
    from pywps import Service, configuration

    from pywps_hpc.web import mounted
    from pywps_hpc.web.application import HpcService
    from pywps_hpc.web.wrap import wrap

    if not isinstance(application, Service):
        return mounted.around(application)
    if configuration.get_config_value("server", "url") == _PYWPS_DEFAULT_URL:
        configuration.CONFIG.set("server", "url", f"http://{bind}/wps")
    wrapped = wrap(application)
    if isinstance(wrapped, HpcService):
        wrapped.compare_processes()
    return wrapped
