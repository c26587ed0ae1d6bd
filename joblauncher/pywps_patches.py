"""What of PyWPS a job replaces, extends or uses though it is not public, each with the reason.

All of it is looked at before the process is loaded; what is not as expected is told in the job's
log. One thing is not looked at here: ``pywps.dblog``, in whose place stands
:mod:`joblauncher.nodatabase`, since a node has no database and importing PyWPS's takes a third of
the time. The web server has looked at that.
"""

from __future__ import annotations

from joblauncher.shared.pywps_pieces import Piece

_CONFIGURATION, _EXECUTE = "pywps.configuration", "pywps.response.execute"
_BASIC, _OUTPUTS, _FILES = "pywps.inout.basic", "pywps.inout.outputs", "pywps.inout.storage.file"

#: Replaced in this interpreter (:mod:`runner`, :mod:`outputs`, :mod:`inputs.references`).
REPLACED = (
    Piece(
        _CONFIGURATION,
        "CONFIG",
        "is the service's effective configuration, which came with the dump",
        None,
    ),
    Piece(
        _CONFIGURATION,
        "load_configuration",
        "does nothing: a service that loads its files when it is imported would undo that",
        ("cfgfiles",),
    ),
    Piece(
        _FILES,
        "FileStorage._do_store",
        "keeps two outputs of one name apart, follows links, waits for room",
        ("self", "output"),
    ),
    Piece(
        _FILES,
        "FileStorage.url",
        "gives the address at which the service serves the file, percent-encoded",
        ("self", "destination"),
    ),
    Piece(
        _FILES,
        "FileStorage.location",
        "leads into the folder that is served, and nowhere else",
        ("self", "destination"),
    ),
    Piece(
        _FILES,
        "FileStorage.write",
        "writes into the folder that is served, and waits for room",
        ("self", "data", "destination", "data_format"),
    ),
    Piece(
        _OUTPUTS,
        "MetaFile.name",
        "is the file's own name: upstream takes it from the address, where it is percent-encoded",
        None,
    ),
    Piece(
        _OUTPUTS,
        "ComplexOutput._json_data",
        "gives a reference where the content behind a URL cannot be had",
        ("self", "data"),
    ),
    Piece(
        _BASIC,
        "BasicBoundingBox.data",
        "takes any sequence of numbers: upstream takes a tuple or an array for no box at all",
        None,
    ),
    Piece(
        _BASIC,
        "UrlHandler.file",
        "fetches within the bounds of the service, or takes what the dispatcher has fetched",
        None,
    ),
    Piece(
        _BASIC,
        "UrlHandler.size",
        "asks within the bounds of the service, and for no longer than there is time",
        None,
    ),
    Piece(
        _BASIC,
        "IOHandler._build_file_name",
        "gives each file a free name: upstream takes a link that leads nowhere for one",
        ("self", "href"),
    ),
)

#: Overridden by a class of our own (:class:`joblauncher.shared.response.JobResponse`).
OVERRIDDEN = (
    Piece(
        _EXECUTE,
        "ExecuteResponse.__init__",
        "is called with our templates to follow",
        ("self", "wps_request", "uuid", "kwargs"),
    ),
    Piece(
        _EXECUTE,
        "ExecuteResponse._update_status",
        "publishes each document: upstream asks a database and removes folders",
        ("self", "status", "message", "status_percentage", "clean"),
    ),
    Piece(
        _EXECUTE,
        "ExecuteResponse._update_status_doc",
        "tells what went wrong without paths of this host",
        ("self",),
    ),
    Piece(
        _EXECUTE,
        "ExecuteResponse._construct_doc",
        "leaves out characters that XML cannot hold",
        ("self",),
    ),
    Piece(
        _EXECUTE,
        "ExecuteResponse._process_accepted",
        "gives UTC and a percentage that is none below zero: upstream labels local time as UTC",
        ("self",),
    ),
    Piece(
        _EXECUTE,
        "ExecuteResponse.json",
        "adds lineage, outputs by reference that are no files, and the service's own addresses",
        None,
    ),
)

#: Called or set as it is.
USED = (
    Piece("pywps.response.status", "WPS_STATUS", "names the states of a document", None),
    Piece(
        "pywps.app.Process",
        "Process._run_process",
        "runs the handler and makes the documents",
        ("self", "wps_request", "wps_response"),
    ),
    Piece(
        "pywps.app.Process",
        "Process.set_workdir",
        "hands the working folder to the process, its inputs and outputs",
        ("self", "workdir"),
    ),
    Piece(
        "pywps.app.WPSRequest",
        "WPSRequest.set_version",
        "makes anew what of a request cannot be pickled",
        ("self", "version"),
    ),
    Piece(
        "pywps.app.Service",
        "Service._set_grass",
        "prepares GRASS GIS, called without a service",
        ("self",),
    ),
    Piece(
        _BASIC,
        "IOHandler._check_valid",
        "runs the validator of an input whose content only the job has",
        ("self",),
    ),
    Piece("pywps.inout.storage", "STORE_TYPE", "says how an output is stored", None),
)

ALL = (*REPLACED, *OVERRIDDEN, *USED)
