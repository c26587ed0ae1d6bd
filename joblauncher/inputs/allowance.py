"""What all inputs of a job may take together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from joblauncher.inputs import fetch
from joblauncher.inputs.policy import Bounds, Reference, Refused, Stopped, TooLarge
from joblauncher.shared.files import amount


class Allowance:
    """Fetches the inputs of one job within the bounds of each and of all.

    Args:
        bounds: the limits.
        spent: seconds that fetching them took before.
    """

    def __init__(self, bounds: Bounds, spent: float = 0.0) -> None:
        self._bounds = bounds
        self._seconds = bounds.total_timeout_per_job - spent
        self._bytes = bounds.max_bytes_per_job or bounds.max_bytes << 32

    def fetch(
        self, reference: Reference, target: Path, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """As :func:`joblauncher.inputs.fetch.fetch`.

        Raises:
            Refused: it cannot be had within the bounds.
            TooLarge: it, or all inputs of the job, have too many bytes.
            Stopped: ``stop`` said so.
        """
        whole, begun = self._bounds, time.monotonic()
        left = replace(
            whole,
            max_bytes=min(whole.max_bytes, self._bytes),
            total_timeout=min(whole.total_timeout, self._seconds),
        )
        try:
            fetch.fetch(reference, left, target, stop)
        except Stopped:
            raise
        except TooLarge:
            if left.max_bytes == whole.max_bytes:
                raise
            limit = amount(whole.max_bytes_per_job)
            raise TooLarge(f"with it the job's inputs have more than the {limit} allowed") from None
        except Refused:
            if time.monotonic() - begun < self._seconds:
                raise
            words = f"{whole.total_timeout_per_job:g} seconds"
            raise Refused(f"the job's inputs did not arrive within {words}") from None
        finally:
            self._seconds -= time.monotonic() - begun
        self.count(target)

    def count(self, target: Path) -> None:
        """An input is here."""
        self._bytes -= target.stat().st_size
