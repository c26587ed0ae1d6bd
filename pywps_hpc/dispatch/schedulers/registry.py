"""From settings to the batch system that they name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pywps_hpc.dispatch.channels.local import Channel, LocalChannel
from pywps_hpc.dispatch.schedulers.base import Scheduler
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.dispatch.schedulers.pilots.context import Context
from pywps_hpc.dispatch.schedulers.pilots.scheduler import PilotScheduler, has_pilots
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.settings import Settings, SettingsError


def make_scheduler(settings: Settings) -> Scheduler:
    """The batch system that the settings name.

    Raises:
        SettingsError: it cannot be used.
    """
    if settings.scheduler not in SCHEDULERS:
        known = ", ".join(SCHEDULERS)
        raise SettingsError(f"[hpc] scheduler: {settings.scheduler!r} is not one of: {known}")
    return SCHEDULERS[settings.scheduler](settings)


def with_pilots(scheduler: Scheduler, settings: Settings) -> Scheduler:
    """The batch system as a dispatcher uses it: with pilots, where a process is marked for them."""
    return PilotScheduler(Context(scheduler, settings)) if has_pilots(settings) else scheduler


def check(settings: Settings) -> None:
    """See that a dispatcher could work with these settings; asks no batch system.

    Raises:
        SettingsError: it could not.
    """
    scheduler = make_scheduler(settings)
    try:
        Scripts(settings, scheduler.system, scheduler.header).check()
    finally:
        scheduler.close()


def environment_of(settings: Settings) -> dict[str, str]:
    """What the batch system's commands, or jobs of this host's own, have in their environment."""
    return {"PATH": settings.command_path, **settings.command_environment}


def _local(settings: Settings) -> Scheduler:
    return LocalScheduler(
        settings.spool / "scheduler",
        cpus=settings.slots or None,
        environment=environment_of(settings),
    )


def _channel(settings: Settings) -> Channel:
    if settings.channel == "ssh":
        from pywps_hpc.dispatch.channels.ssh import SshChannel  # paramiko is optional

        try:
            return SshChannel(settings.ssh, environment_of(settings))
        except ImportError as error:
            raise SettingsError(f"[hpc] channel: {error}") from None
    return LocalChannel(environment_of(settings))


def _commands(settings: Settings, system: str) -> CommandScheduler:
    return CommandScheduler(
        DIALECTS[system](), _channel(settings), timeout=settings.command_timeout
    )


def _drmaa(settings: Settings) -> Scheduler:
    from pywps_hpc.dispatch.schedulers.drmaa import DrmaaScheduler, Helper

    assert settings.drmaa_library is not None  # Settings sees to that
    helper = Helper(
        settings.drmaa_library,
        environment_of(settings),
        timeout=settings.command_timeout,
        system=settings.system,
    )
    try:
        return DrmaaScheduler(helper, _commands(settings, settings.system))
    except ValueError as error:
        raise SettingsError(f"[hpc] system: {error}") from None


#: Name in the configuration -> what makes it.
SCHEDULERS: dict[str, Callable[[Settings], Scheduler]] = {
    "local": _local,
    "drmaa": _drmaa,
    **{system: partial(_commands, system=system) for system in DIALECTS},
}
