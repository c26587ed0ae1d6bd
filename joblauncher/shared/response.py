"""The response object that a process sees: PyWPS's own, with the truth in its documents.

Used on both sides: the web server renders the *accepted* document with it, the compute node all
later ones.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader
from pywps.app.exceptions import ProcessError
from pywps.exceptions import NoApplicableCode
from pywps.inout.array_encode import ArrayEncoder
from pywps.response.execute import ExecuteResponse
from pywps.response.status import WPS_STATUS
from pywps.translations import get_translation

from joblauncher.shared import lineage as lineage_of
from joblauncher.shared import output_values, status_xml, storage, stored_values

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


@functools.cache
def templates(package: str) -> Any:
    """A package's own templates of documents, compiled once a process; PyWPS does so anew for each
    response, and its documents are not valid."""
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.globals.update(get_translation=get_translation)
    environment.filters.update(in_xml=output_values.in_xml, literal=output_values.literal)
    return environment


def compile_documents() -> None:
    """Compile the templates of a job's documents: forks of this process need not do so."""
    environment = templates("joblauncher")
    for name in environment.list_templates():
        if name.endswith("/execute/main.xml"):
            environment.get_template(name)


class JobResponse(ExecuteResponse):  # type: ignore[misc]
    """An Execute response whose documents go to ``publish`` instead of PyWPS's storage.

    Args:
        wps_request: the parsed request.
        uuid: the job id.
        process: the process to run.
        status_url: where the service shows the status document.
        publish: receives each document; ``None`` keeps them here.
    """

    def __init__(
        self,
        wps_request: Any,
        uuid: Any,
        *,
        process: Any,
        status_url: str,
        publish: Publish | None = None,
    ) -> None:
        self.outputs: dict[str, Any] = {}  # made by the next
        super().__init__(wps_request, uuid, process=process)
        self.store_status_file: bool = False
        self.template_env = templates("joblauncher")
        self.status_url = status_url
        self.publish = publish
        self.facts: dict[str, Any] = {}
        self.plain_outputs: list[dict[str, Any]] = []

    @property
    def json(self) -> dict[str, Any]:
        """What the document's template is filled with."""
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
            template = self.template_env.get_template(f"{self.version}/execute/main.xml")
            return status_xml.writable(template.render(**self.facts)).encode()
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
        document, mimetype = super()._construct_doc()
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
