"""What a request may cost before anybody reads it: bytes, elements, values, depth."""

from __future__ import annotations

from pywps import configuration


def largest_request() -> int:
    """Bytes of a request, by ``[server] maxrequestsize``."""
    megabytes = configuration.get_size_mb(
        configuration.get_config_value("server", "maxrequestsize")
    )
    return int(megabytes * (1 << 20))
