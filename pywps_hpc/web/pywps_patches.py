"""What of PyWPS the web server replaces, overrides and relies upon, and whether this PyWPS has it.

One table: what, why, and what is checked at start. The check is made when this module is imported,
before anything is replaced; whatever is not as expected is told to the administrator
(:data:`MISMATCHES`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pywps import configuration

from joblauncher.inputs import file_names
from joblauncher.shared.pywps_pieces import Piece, mismatches
from pywps_hpc.settings import Settings
from pywps_hpc.web import input_references
from pywps_hpc.web.requests import guard, json


@dataclass(frozen=True)
class Patch(Piece):
    """A piece that is replaced.

    Attributes:
        make: its replacement, of the original and the settings.
        applies: whether it has to be replaced, by PyWPS's configuration.
    """

    make: Callable[[Any, Settings], Any]
    applies: Callable[[], bool] = lambda: True


def _has_no_request_log() -> bool:
    return ":memory:" in str(configuration.get_config_value("logging", "database"))


PATCHES = (
    Patch(
        "pywps.xml_util",
        "fromstring",
        "a document type declaration costs, or includes, what the sender of a request likes",
        ("text",),
        lambda original, _: guard.plain_fromstring(original),
    ),
    Patch(
        "pywps.xml_util",
        "parse",
        "likewise, of documents in files",
        ("source",),
        lambda original, _: guard.plain_parse(original),
    ),
    Patch(
        "pywps.app.WPSRequest",
        "WPSRequest._set_json",
        "it ignores what it does not know, and makes input objects of whatever a client says",
        ("self", "value", "validate_file"),
        lambda original, _: guard.strict_set_json(original),
    ),
    Patch(
        "pywps.app.WPSRequest",
        "_get_rawvalue_value",
        "it takes data that are not in the encoding that they are said to be in",
        ("data", "encoding"),
        lambda _, __: json.content,
    ),
    Patch(
        "pywps.inout.basic",
        "ComplexInput.process",
        "it opens and fetches whatever a reference names, in the web server and without bounds",
        ("self", "inpt"),
        input_references.process,
    ),
    Patch(
        "pywps.inout.basic",
        "IOHandler._check_valid",
        "validators open references, and values that are not in memory",
        ("self",),
        lambda original, _: input_references.check_valid(original),
    ),
    Patch(
        "pywps.inout.basic",
        "IOHandler._build_file_name",
        "it takes a link that leads nowhere for a free name, and keeps a descriptor open",
        ("self", "href"),
        lambda _, __: file_names.unused_name,
    ),
    Patch(
        "pywps.response.basic",
        "store_status",
        "by default requests are logged to a database in memory, which threads cannot share",
        ("uuid", "wps_status", "message", "status_percentage"),
        lambda _, __: lambda *args, **named: None,
        _has_no_request_log,
    ),
)


def _needed(why: str, module: str, names: Mapping[str, tuple[str, ...] | None]) -> Iterator[Piece]:
    return (Piece(module, name, why, parameters) for name, parameters in names.items())


PIECES = (
    *_needed(
        "requests are routed to faces, and carried out by jobs",
        "pywps.app.Service",
        {
            "Service.__call__": ("self", "http_request"),
            "Service.call": ("self", "http_request"),
            "Service.execute": ("self", "identifier", "wps_request", "uuid"),
            "Service.get_capabilities": ("self", "wps_request", "uuid"),
            "Service.describe": ("self", "wps_request", "uuid", "identifiers"),
            "Service.prepare_process_for_execution": ("self", "identifier"),
        },
    ),
    *_needed(
        "PyWPS holds the inputs against the process, by our readers of single inputs",
        "pywps.app.Service",
        {
            "Service._parse_and_execute": ("self", "process", "wps_request", "uuid"),
            "Service.create_literal_inputs": ("self", "source", "inputs"),
            "Service.create_complex_inputs": ("self", "source", "inputs"),
            "Service.create_bbox_inputs": ("self", "source", "inputs"),
        },
    ),
    *_needed(
        "a request is read into PyWPS's own object, which handlers know",
        "pywps.app.WPSRequest",
        {
            "WPSRequest.__init__": ("self", "http_request", "preprocessors"),
            "WPSRequest.set_version": ("self", "version"),
        },
    ),
    *_needed(
        "exception reports are PyWPS's, with codes and headers of ours",
        "pywps.exceptions",
        {
            "NoApplicableCode.__init__": ("self", "description", "locator", "code"),
            "NoApplicableCode.get_response": ("self", "environ"),
        },
    ),
    *_needed(
        "status documents and answers are made by a class of PyWPS's response",
        "pywps.response.execute",
        {
            "ExecuteResponse.__init__": ("self", "wps_request", "uuid", "kwargs"),
            "ExecuteResponse._update_status": (
                *("self", "status", "message", "status_percentage", "clean"),
            ),
            "ExecuteResponse._update_status_doc": ("self",),
            "ExecuteResponse._construct_doc": ("self",),
            "ExecuteResponse._process_accepted": ("self",),
            "ExecuteResponse.json": None,
        },
    ),
    *_needed("the states of a response", "pywps.response.status", {"WPS_STATUS": None}),
    *_needed(
        "the configuration is read here, and given to the job",
        "pywps.configuration",
        {
            "CONFIG": None,
            "RAW_OPTIONS": None,
            "get_config_value": ("section", "option", "default_value"),
            "get_size_mb": ("mbsize",),
            "load_configuration": ("cfgfiles",),
        },
    ),
    *_needed(
        "the launcher runs a process as PyWPS does",
        "pywps.app.Process",
        {
            "Process.set_workdir": ("self", "workdir"),
            "Process._set_uuid": ("self", "uuid"),
            "Process._run_process": ("self", "wps_request", "wps_response"),
            "Process.setup_outputs_from_wps_request": ("self", "wps_request"),
        },
    ),
    *_needed("likewise", "pywps.app.Service", {"Service._set_grass": ("self",)}),
    *_needed(
        "the launcher fetches references itself, once and within bounds",
        "pywps.inout.basic",
        {"UrlHandler.file": None, "UrlHandler.size": None, "UrlHandler.max_size": ()},
    ),
    *_needed(
        "the launcher stores outputs where the service serves them",
        "pywps.inout.storage.file",
        {
            "FileStorage._do_store": ("self", "output"),
            "FileStorage.url": ("self", "destination"),
            "FileStorage.location": ("self", "destination"),
            "FileStorage.write": ("self", "data", "destination", "data_format"),
        },
    ),
    *_needed("likewise", "pywps.inout.storage", {"STORE_TYPE": None}),
    *_needed("likewise, files of metalinks", "pywps.inout.outputs", {"MetaFile.name": None}),
    *_needed(
        "a node has no database: the launcher puts a module without one in its place",
        "pywps.dblog",
        {
            "log_request": ("uuid", "request"),
            "store_status": ("uuid", "wps_status", "message", "status_percentage"),
            "update_pid": ("uuid", "pid"),
            "pop_first_stored": (),
        },
    ),
)


def _originals() -> Iterator[tuple[Patch, Any]]:
    for patch in PATCHES:
        try:
            yield patch, patch.find()
        except (ImportError, AttributeError):  # told as a mismatch
            continue


#: What differs from the tested PyWPS, for the administrator.
MISMATCHES = tuple(mismatches((*PATCHES, *PIECES)))
_ORIGINALS = tuple(_originals())


def install(settings: Settings) -> None:
    """Replace what has to be replaced, in this interpreter."""
    for patch, original in _ORIGINALS:
        if patch.applies():
            name = patch.name.rpartition(".")[2]
            setattr(patch.owner(), name, patch.make(original, settings))
