"""gunicorn's log lines, structured where all others are."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger


class SameLogger(Logger):  # type: ignore[misc]
    """One whose error log is structured where the root logger's handlers write so."""

    def setup(self, cfg: Any) -> None:
        """Also take the root's formatter, if it is a structured one."""
        super().setup(cfg)
        for one in (handler.formatter for handler in logging.root.handlers):
            if getattr(one, "is_structured", False):
                for handler in self.error_log.handlers:
                    handler.setFormatter(one)
