"""How log lines are written: as text, or as JSON for what collects them; the job's id first."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Any

from pywps_hpc.spool import JOB_ID

TEXT, JSON = "text", "json"
#: A message that is about a job begins with its id.
_JOB = re.compile(rf"({JOB_ID}): ")
_FORM = "%(asctime)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``job`` (empty if it is about none), ``time`` (RFC 3339, UTC),
    ``level``, ``logger``, ``message`` without the job's id, ``exception`` where there is one."""

    #: For parts that know no more of it.
    is_structured = True

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        message = record.getMessage()
        found = _JOB.match(message)
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        facts: dict[str, Any] = {
            "job": found[1] if found else "",
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": message[found.end() :] if found else message,
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            facts["exception"] = record.exc_text
        return json.dumps(facts)


def formatter(form: str) -> logging.Formatter:
    """What writes log lines in this form."""
    return JsonFormatter() if form == JSON else logging.Formatter(_FORM)


def install() -> None:
    """Write log lines as text to standard error, until the configuration has been read."""
    logging.basicConfig(level=logging.INFO, format=_FORM)


def use(form: str, *loggers: str) -> None:
    """Write log lines in this form from now on. What an application around the service has made of
    its log as text stays as it is.

    Args:
        loggers: names of further loggers that have handlers of their own.
    """
    for logger in (logging.root, *map(logging.getLogger, loggers)):
        for handler in logger.handlers:
            if (form == JSON) != isinstance(handler.formatter, JsonFormatter):
                handler.setFormatter(formatter(form))
