"""TORQUE's limits: those of every PBS."""

from __future__ import annotations

from pywps_hpc.dispatch.schedulers.sites.pbs import QUESTIONS as QUESTIONS
