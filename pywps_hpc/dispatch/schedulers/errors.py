"""What a batch system's answer, or the lack of one, may mean."""

from __future__ import annotations

from pywps_hpc.errors import HpcError


class SchedulerError(HpcError):
    """The batch system refused, or its answer makes no sense.

    Attributes:
        command: what was asked (a command line, or the name of a DRMAA call).
        returncode: its exit status, if it had one.
        output: what it printed, for the administrator's log; never for clients.
    """

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message)
        self.command = command
        self.returncode = returncode
        self.output = output


class SchedulerUnavailable(SchedulerError):
    """The question could not be asked or was not answered; it says nothing about any job."""

    transient = True


class SubmissionUncertain(SchedulerUnavailable):
    """The job may or may not have been accepted: look it up by name before trying again."""


class SubmissionPostponed(SchedulerUnavailable):
    """The job was certainly not accepted now; the same request may be later.

    Attributes:
        answered: whether the batch system itself said so, which concerns jobs like this one;
            otherwise nobody could be asked, which concerns all.
        passing: whether its reason is known to pass (a full queue, a partition under maintenance).
            One that is not known is given time to pass, but not for ever.
    """

    def __init__(
        self,
        message: str,
        *,
        answered: bool = False,
        passing: bool = True,
        command: str = "",
        returncode: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message, command=command, returncode=returncode, output=output)
        self.answered = answered
        self.passing = passing


class SubmissionRefused(SchedulerError):
    """The batch system said no for a reason that is known to stay: an unknown partition, a limit
    that this job can never keep."""


class NotPermitted(SchedulerError):
    """This account may not do that; the message says who could."""
