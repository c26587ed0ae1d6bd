"""The tree of exceptions that this package raises.

    HpcError
      SettingsError             a ValueError, too: the configuration cannot be used
        ForeignSpool            spool and job table are not of one installation
      TableError                the job table
        TableUnavailable        cannot be reached now; transient
        TableMissing            is not there, and whoever only reads does not make it
        SchemaTooNew, SchemaTooOld
      LeadershipLost            another dispatcher leads
      LimitReached              a job would be one too many
      Drained                   no new jobs are taken
      SchedulerError            the batch system refused (see dispatch/schedulers/base)
        SchedulerUnavailable    could not be asked; transient
      ChannelError              a command gave no whole answer (see dispatch/channels)
      HelperFailed              the helper of a DRMAA session did not answer
      ImageError                an image could not be built or read
      StartFailed, LoadFailed   no web worker could ever come up, or import the service

Those that several parts of the package know stand here, the others with the part that raises them.
"""

from __future__ import annotations


class HpcError(Exception):
    """Any error of this package's own; its message is for the administrator.

    Attributes:
        transient: whether the same call may succeed later.
    """

    transient = False


class SettingsError(HpcError, ValueError):
    """A configuration that cannot be used; the message is one line for the administrator."""


class ForeignSpool(SettingsError):
    """Spool and job table are not of one installation."""


class TableError(HpcError):
    """The job table cannot be used."""


class TableUnavailable(TableError):
    """The job table cannot be reached now, or is locked for too long; later it may be again.

    Whether a change that was under way has been made is not known.
    """

    transient = True


class TableMissing(TableError):
    """There is no job table, and whoever only reads does not make one."""


class LeadershipLost(HpcError):
    """Another dispatcher leads now: this one must not do anything more."""
