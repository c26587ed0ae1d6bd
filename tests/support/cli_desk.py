"""What an administrator has before him: a configuration, its job table, the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pywps_hpc import settings
from pywps_hpc.jobs import Job, JobStore, new_id

LONG = "1234567[8].a-torque-server-with-a-long-name.cluster.example.org"


#: A narrow terminal, were it asked.
ENVIRONMENT = os.environ | {"COLUMNS": "40", "LINES": "10"}


@dataclass
class Desk:
    """A configuration, its job table, and the command line."""

    config: Path
    settings: settings.Settings

    def store(self) -> JobStore:
        store = JobStore(self.settings.database_url)
        store.create()
        return store

    def add(self, **facts: object) -> Job:
        """Record a job that the batch system has."""
        store = self.store()
        known = {"id": new_id(), "name": "wabc", "process": "p", "digest": "0" * 64} | facts
        job = store.add(Job(**known))  # type: ignore[arg-type]
        store.engine.dispose()
        return job

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        name, *rest = arguments
        line = [sys.executable, "-m", "pywps_hpc", name, "--config", str(self.config), *rest]
        return subprocess.run(line, capture_output=True, text=True, timeout=60, env=ENVIRONMENT)

    def reads(self, *arguments: str) -> str:
        """What a command prints that ends well."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of the spool, with its owner and size."""
        found = self.settings.spool.rglob("*")
        return {str(path): (path.stat().st_uid, path.stat().st_size) for path in found}
