"""Where things are in this checkout."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
#: Answers that real batch systems gave.
CAPTURED = TESTS / "captured"
#: Scripts that start a real Slurm, Grid Engine, …
INFRA = TESTS / "infra"
#: WSGI modules with processes for tests.
SERVICES = TESTS / "services"
#: The OGC's schemas.
SCHEMAS = TESTS / "ogc-schemas"
