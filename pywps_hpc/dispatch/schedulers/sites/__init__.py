"""What a site allows, asked of its batch system: one module a system, like the dialects."""

from __future__ import annotations

from importlib import import_module

from pywps_hpc.dispatch.schedulers.sites.model import SiteQuestions


def questions_of(system: str) -> SiteQuestions:
    """How the batch system of this name is asked for its limits."""
    found: SiteQuestions = import_module(f"{__name__}.{system}").QUESTIONS
    return found
