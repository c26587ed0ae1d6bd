"""The bytes and seconds that all inputs of a job may take together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from joblauncher.inputs.policy import Bounds, Reference, Refused, Stopped, TooLarge
from joblauncher.shared.files import amount


class Allowance:
    """Fetches the inputs of one job within the bounds of each and of all.

    Args:
        bounds: the limits.
        spent: seconds that fetching them took in earlier turns.
    """

    def __init__(self, bounds: Bounds, spent: float = 0.0) -> None:
        self._bounds = bounds
        self._seconds = bounds.total_timeout_per_job - spent
        self._bytes = bounds.max_bytes_per_job or sys.maxsize

    def fetch(
        self, reference: Reference, target: Path, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """As :func:`joblauncher.inputs.fetch.fetch`.

        Raises:
            Refused: it cannot be had within the bounds.
            TooLarge: it, or all inputs of the job, have too many bytes.
            Stopped: ``stop`` said so.
        """
        from joblauncher.inputs import fetch  # few jobs need it

        bounds, begun = self._bounds, time.monotonic()
        within = replace(
            bounds,
            max_bytes=min(bounds.max_bytes, self._bytes),
            total_timeout=min(bounds.total_timeout, self._seconds),
        )
        try:
            fetch.fetch(reference, within, target, stop)
        except Stopped:
            raise
        except TooLarge:
            if within.max_bytes == bounds.max_bytes:
                raise
            limit = amount(bounds.max_bytes_per_job)
            raise TooLarge(f"all inputs of the job together exceed the {limit} allowed") from None
        except Refused:
            if time.monotonic() - begun < self._seconds:
                raise
            limit = f"{bounds.total_timeout_per_job:g} seconds"
            raise Refused(f"the job's inputs did not arrive within {limit}") from None
        finally:
            self._seconds -= time.monotonic() - begun
        self.count(target)

    def count(self, target: Path) -> None:
        """Count the bytes of an input that has arrived."""
        self._bytes -= target.stat().st_size
