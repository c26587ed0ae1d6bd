"""What PyWPS and a process are told when an input cannot be had."""

from __future__ import annotations

from pywps.app.exceptions import ProcessError
from pywps.exceptions import FileSizeExceeded, InvalidParameterValue


class InputUnavailable(ProcessError, InvalidParameterValue):  # type: ignore[misc]
    """An input, or the content of an output that lies elsewhere, cannot be had. Of a process's
    exceptions, PyWPS shows only the message of a ``ProcessError`` to the client.

    Attributes:
        is_input: whether it is an input.
    """

    def __init__(self, message: str, identifier: str, *, is_input: bool = True) -> None:
        InvalidParameterValue.__init__(self, message, locator=identifier)
        ProcessError.__init__(self, message)
        self.is_input = is_input

    @property
    def name(self) -> str:
        """``exceptionCode`` of the report (OWS Common 1.1.0, table 25)."""
        return "InvalidParameterValue"


class InputTooLarge(InputUnavailable, FileSizeExceeded):  # type: ignore[misc]
    """It is larger than allowed; what PyWPS raises then, so that a process can tell."""
