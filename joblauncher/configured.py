"""PyWPS's configuration inside a job: the service's, with this job's own folders."""

from __future__ import annotations

import configparser
import logging
import sys
from pathlib import Path

LOGGER = logging.getLogger("PYWPS")

Sections = dict[str, dict[str, str]]

_installed: tuple[Sections, configparser.ConfigParser] | None = None


def install(sections: Sections, work: Path, storage: Path) -> None:
    """Give PyWPS the service's effective configuration.

    A second time, with the same sections, changes the folders only: modules that were imported
    meanwhile hold the object.

    Args:
        sections: as they came with the dump; their variables are filled in already.
        work: where processes work.
        storage: where outputs go.
    """
    global _installed
    own = {
        "server": {"workdir": str(work), "outputpath": str(storage)},
        "logging": {"file": "", "database": "sqlite:///:memory:"},
    }
    if _installed is not None and _installed[0] == sections:
        _installed[1].read_dict(own)
        return
    from pywps import configuration

    config = configparser.ConfigParser(interpolation=None)
    config.read_dict(sections)
    config.read_dict(own)
    configuration.CONFIG = config
    # A service may load its files when its modules are imported, which they are by the dump; what
    # they say here has been merged already.
    configuration.load_configuration = lambda cfgfiles=None: None
    level = logging.getLevelName(config.get("logging", "level", fallback="INFO"))
    LOGGER.setLevel(level if isinstance(level, int) else logging.INFO)
    LOGGER.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(config.get("logging", "format", fallback=None)))
    LOGGER.addHandler(handler)
    _installed = sections, config
