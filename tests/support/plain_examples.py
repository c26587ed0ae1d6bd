"""Example processes, run by PyWPS itself in this process: what it answers to an Execute."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from owslib.wps import WPSExecution
from werkzeug.test import Client

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS cannot be imported with an empty one

from pywps import Service, configuration
from pywps.response.execute import ExecuteResponse

from examples.more import MatrixProduct, Pi, RasterOverview
from examples.processes import ClimateAnomaly, ClipFeatures, Countdown, WhereAmI


def _data() -> list[Path]:
    try:
        import iris_sample_data
    except ImportError:
        return []
    return [Path(iris_sample_data.__file__).parent / "sample_data"]


WPS = "{http://www.opengis.net/wps/1.0.0}"
OWS = "{http://www.opengis.net/ows/1.1}"
#: Where sample data are, if they are installed.
DATA = _data()
PROCESSES = (ClimateAnomaly, ClipFeatures, Countdown, WhereAmI, Pi, MatrixProduct, RasterOverview)


@dataclass
class Answer:
    """An ExecuteResponse: its outputs, or the sentence of its failure."""

    error: str | None
    outputs: dict[str, Any] = field(default_factory=dict)
    updates: list[tuple[str, float]] = field(default_factory=list)

    def json(self, name: str) -> Any:
        return json.loads(self.outputs[name].text)

    def bytes(self, name: str) -> bytes:
        return base64.b64decode(self.outputs[name].text)


Execute = Callable[..., Answer]


@pytest.fixture(scope="module")
def execute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """Post an Execute document to a plain PyWPS service and parse what it answers."""
    before, folder = configuration.CONFIG, tmp_path_factory.mktemp("service")
    configuration.load_hardcoded_configuration()
    for name, value in {
        "workdir": folder,
        "outputpath": folder,
        "allowedinputpaths": ":".join(map(str, (tmp_path_factory.getbasetemp(), *DATA))),
        "maxsingleinputsize": "20mb",
        "maxrequestsize": "40mb",
        "parallelprocesses": "-1",
    }.items():
        configuration.CONFIG.set("server", name, str(value))
    configuration.CONFIG.set("logging", "level", "INFO")
    service = Service([process() for process in PROCESSES])
    updates: list[tuple[str, float]] = []
    update_status = ExecuteResponse.update_status

    def record(self: ExecuteResponse, message: str, percent: float | None = None) -> None:
        updates.append((message, percent))
        update_status(self, message, percent)

    def run(identifier: str, *inputs: tuple[str, Any], bbox: str = "") -> Answer:
        updates.clear()
        outputs = [(o.identifier, False) for o in service.processes[identifier].outputs]
        request = WPSExecution().buildRequest(identifier, list(inputs), output=outputs)
        document = request.find(f"{WPS}ResponseForm/{WPS}ResponseDocument")
        for attribute in ("storeExecuteResponse", "status"):
            document.set(attribute, "false")
        if bbox:
            request.find(f"{WPS}DataInputs").append(etree.fromstring(bbox))
        response = Client(service).post("/", data=etree.tostring(request), content_type="text/xml")
        tree = etree.fromstring(response.get_data())
        texts = [element.text for element in tree.iter(f"{OWS}ExceptionText")]
        found = {
            output.findtext(f"{OWS}Identifier"): output.find(f"{WPS}Data")[0]
            for output in tree.iter(f"{WPS}Output")
            if output.find(f"{WPS}Data") is not None
        }
        return Answer(texts[0].strip() if texts else None, found, list(updates))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExecuteResponse, "update_status", record)
        yield run
    configuration.CONFIG = before
