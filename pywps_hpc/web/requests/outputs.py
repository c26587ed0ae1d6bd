"""The outputs that a request asks for, held against the process that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pywps.exceptions import InvalidParameterValue, StorageNotSupported
from pywps.inout.basic import BasicComplex

from pywps_hpc.web.requests.content import PLAIN, flag
from pywps_hpc.web.requests.formats import format_of, media_type, unit_of


def choose(process: Any, request: Any) -> None:
    """Give each output that is asked for the format it is asked in, and note whether it is wanted
    by reference.

    Raises:
        InvalidParameterValue: there is no such output, or not in that format or unit.
        StorageNotSupported: the process stores nothing.
    """
    known = {item.identifier: item for item in process.outputs}
    for name, asked in (request.outputs or {}).items():
        item = known.get(name)
        if item is None:
            raise InvalidParameterValue(
                f"Process '{process.identifier}' has no output '{name}'.", name
            )
        if asked.get("uom"):
            unit_of(item, asked["uom"])
        wanted = {**asked, "mimeType": asked.get("mimetype")}
        if isinstance(item, BasicComplex):
            item.data_format = format_of(item, wanted)
        elif asked.get("schema") or not _is_text(wanted):
            raise InvalidParameterValue(f"output {name}: it is available as text only.", name)
        if request.raw:
            continue
        asked["asReference"] = flag(str(asked.get("asReference", "false")), "asReference")
        item.as_reference = asked["asReference"] == "true"
        if item.as_reference and process.store_supported == "false":
            raise StorageNotSupported("The storage of data is not supported for this process.")


def _is_text(asked: Mapping[str, Any]) -> bool:
    kind = media_type(asked.get("mimeType") or "")
    encoding = str(asked.get("encoding") or "").lower()
    return encoding in PLAIN and (
        not kind or kind[0].startswith("text/") or kind[0] == "application/json"
    )
