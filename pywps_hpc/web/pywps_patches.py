"""What of PyWPS is changed, replaced or relied upon, and whether this PyWPS has it as expected.

The table is of PyWPS 4.8. Looked at when this module is imported, before anything is changed.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping

import pywps

#: Name of a module, name in it, and its parameters; ``None``: it has to be there.
PIECES: Mapping[tuple[str, str], tuple[str, ...] | None] = {
    ("pywps.xml_util", "fromstring"): ("text",),
    ("pywps.xml_util", "parse"): ("source",),
    ("pywps.configuration", "CONFIG"): None,
    ("pywps.configuration", "get_config_value"): ("section", "option", "default_value"),
    ("pywps.configuration", "get_size_mb"): ("mbsize",),
    ("pywps.configuration", "load_configuration"): ("cfgfiles",),
    ("pywps.configuration", "RAW_OPTIONS"): None,
    ("pywps.response.basic", "store_status"): (
        "uuid",
        "wps_status",
        "message",
        "status_percentage",
    ),
    ("pywps.response.execute", "ExecuteResponse.__init__"): (
        "self",
        "wps_request",
        "uuid",
        "kwargs",
    ),
    ("pywps.response.execute", "ExecuteResponse._update_status"): (
        "self",
        "status",
        "message",
        "status_percentage",
        "clean",
    ),
    ("pywps.response.execute", "ExecuteResponse._update_status_doc"): ("self",),
    ("pywps.response.execute", "ExecuteResponse._construct_doc"): ("self",),
    ("pywps.response.execute", "ExecuteResponse._process_accepted"): ("self",),
    ("pywps.response.execute", "ExecuteResponse.json"): None,
    ("pywps.response.status", "WPS_STATUS"): None,
    ("pywps.app.Service", "Service.__call__"): ("self", "http_request"),
    ("pywps.app.Service", "Service.call"): ("self", "http_request"),
    ("pywps.app.Service", "Service.execute"): ("self", "identifier", "wps_request", "uuid"),
    ("pywps.app.Service", "Service.get_capabilities"): ("self", "wps_request", "uuid"),
    ("pywps.app.Service", "Service.describe"): ("self", "wps_request", "uuid", "identifiers"),
    ("pywps.app.Service", "Service.prepare_process_for_execution"): ("self", "identifier"),
    ("pywps.app.Service", "Service._parse_and_execute"): ("self", "process", "wps_request", "uuid"),
    ("pywps.app.Service", "Service.create_literal_inputs"): ("self", "source", "inputs"),
    ("pywps.app.Service", "Service.create_complex_inputs"): ("self", "source", "inputs"),
    ("pywps.app.Service", "Service.create_bbox_inputs"): ("self", "source", "inputs"),
    ("pywps.app.Service", "Service._set_grass"): ("self",),
    ("pywps.app.Process", "Process.set_workdir"): ("self", "workdir"),
    ("pywps.app.Process", "Process._set_uuid"): ("self", "uuid"),
    ("pywps.app.Process", "Process._run_process"): ("self", "wps_request", "wps_response"),
    ("pywps.app.Process", "Process.setup_outputs_from_wps_request"): ("self", "wps_request"),
    ("pywps.app.WPSRequest", "WPSRequest.__init__"): ("self", "http_request", "preprocessors"),
    ("pywps.app.WPSRequest", "WPSRequest._set_json"): ("self", "value", "validate_file"),
    ("pywps.app.WPSRequest", "WPSRequest.set_version"): ("self", "version"),
    ("pywps.inout.basic", "ComplexInput.process"): ("self", "inpt"),
    ("pywps.inout.basic", "IOHandler._check_valid"): ("self",),
    ("pywps.inout.basic", "IOHandler._build_file_name"): ("self", "href"),
    ("pywps.inout.basic", "UrlHandler.file"): None,
    ("pywps.inout.basic", "UrlHandler.size"): None,
    ("pywps.inout.basic", "UrlHandler.max_size"): (),
    ("pywps.inout.outputs", "MetaFile.name"): None,
    ("pywps.inout.storage", "STORE_TYPE"): None,
    ("pywps.inout.storage.file", "FileStorage._do_store"): ("self", "output"),
    ("pywps.inout.storage.file", "FileStorage.url"): ("self", "destination"),
    ("pywps.inout.storage.file", "FileStorage.location"): ("self", "destination"),
    ("pywps.inout.storage.file", "FileStorage.write"): (
        "self",
        "data",
        "destination",
        "data_format",
    ),
    ("pywps.dblog", "log_request"): ("uuid", "request"),
    ("pywps.dblog", "store_status"): ("uuid", "wps_status", "message", "status_percentage"),
    ("pywps.dblog", "update_pid"): ("uuid", "pid"),
    ("pywps.dblog", "pop_first_stored"): (),
    ("pywps.exceptions", "NoApplicableCode.__init__"): ("self", "description", "locator", "code"),
    ("pywps.exceptions", "NoApplicableCode.get_response"): ("self", "environ"),
}


def strange(pieces: Mapping[tuple[str, str], tuple[str, ...] | None]) -> Iterator[str]:
    """The pieces that this PyWPS does not have, or not in this form: one line each."""
    for (module, name), parameters in pieces.items():
        piece = f"PyWPS {pywps.__version__}: {module}.{name}"
        try:
            found = importlib.import_module(module)
            for part in name.split("."):
                # A descriptor is looked at, not asked.
                found = inspect.getattr_static(found, part)
        except (ImportError, AttributeError):
            yield f"{piece} is not there: this version has not been tested"
            continue
        found = getattr(found, "__func__", found)
        if parameters is not None and _parameters(found) != parameters:
            yield f"{piece} takes other parameters: this version has not been tested"


def _parameters(thing: object) -> tuple[str, ...] | None:
    try:
        return tuple(inspect.signature(thing).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


#: What was found strange, in words for the administrator.
STRANGE = tuple(strange(PIECES))
