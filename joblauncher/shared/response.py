"""The response object that a process sees: PyWPS's own, with the truth in its documents.

Used on both sides: the web server renders the *accepted* document with it, the compute node all
later ones.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from pywps.app.exceptions import ProcessError
from pywps.exceptions import NoApplicableCode
from pywps.inout.array_encode import ArrayEncoder
from pywps.response.execute import ExecuteResponse
from pywps.response.status import WPS_STATUS

from joblauncher.shared import execute_document, output_values, status_xml, storage, stored_values
from joblauncher.shared import lineage as lineage_of

LOGGER = logging.getLogger("PYWPS")

#: What PyWPS says of an error that a process raised and did not explain; a client has no such log.
_SENT_TO_LOG = "check server error log"
UNEXPLAINED = "Process failed: it raised an error that it does not explain; the job's log has it"
#: What of an output is worth keeping beside the document.
_OUTPUT_FACTS = (
    *("identifier", "title", "type", "mimetype", "encoding", "schema", "href"),
    *("data", "data_type", "uom", "bbox", "crs", "dimensions"),
)
#: Called with every new document: its XML, and the response that it came from.
Publish = Callable[[bytes, "JobResponse"], None]


class _Documents:
    """Our documents, where PyWPS looks for its templates."""

    def get_template(self, _name: str) -> _Documents:
        """The only one."""
        return self

    def render(self, **facts: Any) -> str:
        """Its text."""
        return execute_document.written(facts)


_DOCUMENTS = _Documents()


class JobResponse(ExecuteResponse):  # type: ignore[misc]
    """An Execute response whose documents go to ``publish`` instead of PyWPS's storage.

    Args:
        wps_request: the parsed request.
        uuid: the job id.
        process: the process to run.
        status_url: where the service shows the status document.
        publish: receives each document; ``None`` keeps them here.
        answers: whether a client gets this response itself, and in the form that it asks for.
    """

    def __init__(
        self,
        wps_request: Any,
        uuid: Any,
        *,
        process: Any,
        status_url: str,
        publish: Publish | None = None,
        answers: bool = True,
    ) -> None:
        # As PyWPS does, which also prepares its templates, at a cost that each job would have.
        self.wps_request, self.uuid, self.process = wps_request, uuid, process
        self.version, self.content_type, self.template_env = "1.0.0", None, _DOCUMENTS
        self.message, self.doc = "", None
        self.status_percentage: float = 0
        self.status = WPS_STATUS.ACCEPTED
        self.outputs: dict[str, Any] = {output.identifier: output for output in process.outputs}
        self.store_status_file: bool = False
        self.status_url = status_url
        self.publish = publish
        self.answers = answers
        self.facts: dict[str, Any] = {}
        self.plain_outputs: list[dict[str, Any]] = []

    @property
    def json(self) -> dict[str, Any]:
        """What the document is made of."""
        stored, self.store_status_file = self.store_status_file, False
        lineage, self.wps_request.lineage = self.wps_request.lineage, "false"
        given: tuple[Any, Any] = self.outputs, self.process.outputs
        if self.wps_request.raw:  # the answer is the output itself, of any size
            self.outputs, self.process.outputs = {}, []
        try:
            facts: dict[str, Any] = super().json
        finally:
            self.store_status_file, self.wps_request.lineage = stored, lineage
            self.outputs, self.process.outputs = given
        if stored:
            facts["status_location"] = self.status_url
        # PyWPS escapes it here and once more in the template.
        facts["service_instance"] = facts["service_instance"].replace("&amp;", "&")
        if "outputs" in facts:
            facts["outputs"] = [
                stored_values.by_reference(self.outputs[output["identifier"]], output)
                for output in facts["outputs"]
            ]
        if lineage == "true" and self.is_over:
            facts["lineage"] = True
            facts["input_definitions"] = lineage_of.inputs(self.wps_request.inputs)
            facts["output_definitions"] = lineage_of.outputs(self.process)
        self.plain_outputs = facts.get("outputs", [])
        self.facts = facts
        return facts

    @property
    def state(self) -> str:
        """``accepted``, ``started``, ``paused``, ``succeeded`` or ``failed``."""
        return str(WPS_STATUS._fields[self.status]).lower()

    @property
    def is_over(self) -> bool:
        """Whether the process succeeded or failed."""
        return self.status in (WPS_STATUS.SUCCEEDED, WPS_STATUS.FAILED)

    def output_facts(self) -> list[dict[str, Any]]:
        """The outputs of a success as plain data."""
        outputs = [
            {
                key: output[key]
                for key in _OUTPUT_FACTS
                if output.get(key) is not None and (output[key] != "" or key == "data")
            }
            for output in map(output_values.plain, self.plain_outputs)
        ]
        plain: list[dict[str, Any]] = json.loads(json.dumps(outputs, cls=_Plain))
        return plain

    def render(self) -> bytes:
        """The status document in XML, whatever form the client's answer has."""
        if self.content_type and "json" in self.content_type:
            return status_xml.writable(execute_document.written(self.facts)).encode()
        return str(self.doc).encode()

    def _undeliverable(self) -> str:
        """Why an output that the client gets cannot be delivered; empty if all can."""
        wanted = list(self.outputs.values())
        if self.wps_request.raw:
            first = next(iter(self.wps_request.outputs), None)
            wanted = [self.outputs[first]] if first in self.outputs else []
        for output in wanted:
            output_values.settle(output)
        return next(filter(None, map(output_values.fault, wanted)), "")

    def _update_status_doc(self) -> None:
        try:
            super()._update_status_doc()
        except NoApplicableCode as error:
            # PyWPS quotes the exception, and with it paths of this host.
            cause = error.__context__
            if isinstance(cause, ProcessError):
                raise cause from None
            kind = getattr(cause, "strerror", None) or type(cause or error).__name__
            raise NoApplicableCode(f"the document cannot be written: {kind}") from cause

    def _construct_doc(self) -> tuple[str, str]:
        preprocess = getattr(self.wps_request, "preprocess_response", None)
        if self.answers or (preprocess and self.status == WPS_STATUS.SUCCEEDED):
            document, mimetype = super()._construct_doc()
        else:  # nobody is asked for the form of what only is stored
            document, mimetype = execute_document.written(self.json), "text/xml"
        return status_xml.writable(document), mimetype

    def _process_accepted(self) -> dict[str, Any]:
        # PyWPS labels local time as UTC, and lets a process tell of less than nothing.
        status: dict[str, Any] = super()._process_accepted()
        percent = str(max(0, int(status["percent_done"])))
        return status | {"time": status_xml.utc(), "percent_done": percent}

    def _update_status(
        self, status: int, message: str, status_percentage: float, clean: bool = True
    ) -> None:
        """Called by PyWPS; unlike its own, this asks no database and removes no folder."""
        if status == WPS_STATUS.SUCCEEDED and (problem := self._undeliverable()):
            status, message = WPS_STATUS.FAILED, f"Process failed: {problem}"
            LOGGER.error("%s", message)
        if status == WPS_STATUS.FAILED:
            if problem := storage.trouble(sys.exc_info()[1]):
                message = f"Process failed: {problem}"  # PyWPS would hide it in a log
            elif _SENT_TO_LOG in str(message):
                message = UNEXPLAINED
            for output in filter(output_values.fault, self.process.outputs):
                output_values.empty(output)
        self.message = status_xml.bounded(str(message))
        self.status = status
        self.status_percentage = status_percentage
        self._update_status_doc()
        if self.publish is not None:
            self.publish(self.render(), self)


class _Plain(ArrayEncoder):  # type: ignore[misc]
    def default(self, obj: Any) -> Any:
        try:
            return super().default(obj)
        except TypeError:
            return str(obj)
