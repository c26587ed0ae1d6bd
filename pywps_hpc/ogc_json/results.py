"""The results of a job as a document (OGC 18-062r2, results.yaml), and each output's content."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from joblauncher.shared.files import amount
from joblauncher.shared.literal_text import text
from pywps_hpc import crs
from pywps_hpc.errors import HpcError
from pywps_hpc.jobs.results import Asked, Form, open_file, wanted
from pywps_hpc.jobs.view import JobView, Output
from pywps_hpc.kinds import is_json, is_text
from pywps_hpc.ogc_json.values import CRS84, CRS84H, json_value
from pywps_hpc.spool import JobDir

#: Bytes of files that a document takes in; a further one is given by reference.
INLINE = 16 << 20
_BLOCK = 1 << 20
TEXT, BOX = "text/plain; charset=utf-8", "application/ogc-bbox+json"
#: By authority and code, the reference systems that the standard names.
_SYSTEMS = {
    ("OGC", "CRS84"): CRS84,
    ("EPSG", "4326"): CRS84,
    ("OGC", "CRS84H"): CRS84H,
    ("EPSG", "4979"): CRS84H,
}


class ResultsGone(HpcError):
    """The job succeeded, but its results are no longer there."""

    def __init__(self) -> None:
        super().__init__("The job succeeded, but its results are no longer there.")


@dataclass(frozen=True)
class Source:
    """Where the results of a job are.

    Attributes:
        root: URL of the folder in which the endpoint lies, with a slash at its end.
        view: of the job, which has succeeded.
        job: its folder.
        types: the types of literal outputs, by identifier; of those that are not here, the report
            tells them.
    """

    root: str
    view: JobView
    job: JobDir
    types: Mapping[str, str] = field(default_factory=dict)

    def type_of(self, output: Output) -> str:
        """The type of a literal output; empty for any other."""
        return self.types.get(output.identifier) or output.data_type


@dataclass(frozen=True)
class Content:
    """What an output is.

    Attributes:
        kind: its media type.
        data: its bytes, if it is small.
        file: an open file with them, if there is one.
        href: where it is, if that has an address.
    """

    kind: str
    data: bytes = b""
    file: BinaryIO | None = None
    href: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data) if self.file is None else os.fstat(self.file.fileno()).st_size

    def blocks(self) -> Iterator[bytes]:
        """The bytes; the file is closed."""
        if self.file is None:
            yield self.data
            return
        with self.file:
            while block := self.file.read(_BLOCK):
                yield block


def chosen_of(view: JobView, form: Form) -> list[tuple[Asked, Output]]:
    """The outputs that a client wants.

    Raises:
        ResultsGone: one is not there any more.
    """
    try:
        return wanted(form, view.outputs)
    except KeyError:
        raise ResultsGone from None


def document(
    source: Source, chosen: Sequence[tuple[Asked, Output]], room: int = INLINE
) -> dict[str, Any]:
    """All outputs in JSON.

    Args:
        room: bytes of files that it takes in.

    Raises:
        ResultsGone: one is not there any more.
    """
    found: dict[str, Any] = {}
    for asked, output in chosen:
        if asked.transmission == "reference" and output.location:
            found[asked.identifier] = _reference(output)
            continue
        known = content(source, output)
        if known.file is None:
            found[asked.identifier] = _small(source, output, known)
            continue
        if (size := known.size) > room:
            known.file.close()
            title = f"Too large for this document: {amount(size)}"
            found[asked.identifier] = _reference(output) | {"title": title}
            continue
        room -= size
        data = b"".join(known.blocks())
        found[asked.identifier] = _value(known, data)
    return found


def content(source: Source, output: Output) -> Content:
    """What an output is.

    Raises:
        ResultsGone: it is not there any more.
    """
    if output.location:
        is_literal = source.type_of(output) == "string"
        kind = TEXT if is_literal else output.mime_type or "application/octet-stream"
        try:
            return Content(kind, file=open_file(source.job, output), href=output.location)
        except OSError:
            raise ResultsGone from None
    if output.kind == "bbox" or output.crs:
        return Content(BOX, json.dumps(box_of(output)).encode())
    if output.value is None:  # it was asked for in a document of WPS 1.0.0, and is there alone
        return Content("text/xml", href=f"{source.root}status/{source.view.access}")
    return Content(output.mime_type or TEXT, text(output.value).encode())


def _reference(output: Output) -> dict[str, str]:
    found = {"href": output.location, "type": output.mime_type, "title": output.title}
    return {key: value for key, value in found.items() if value}


def _small(source: Source, output: Output, known: Content) -> Any:
    """A value that is in the report."""
    if known.href:
        return {"href": known.href, "type": known.kind}
    if output.kind == "complex":
        return _value(known, known.data)
    if known.kind == BOX:
        box = json.loads(known.data)
        # The schema knows two reference systems; one with another is a value that is qualified.
        return box if box.get("crs") in (CRS84, CRS84H) else {"value": box, "mediaType": BOX}
    return json_value(source.type_of(output), output.value)


def _value(known: Content, data: bytes) -> Any:
    """A value that is in a file: JSON as it is, text as text, bytes in base64."""
    kind = known.kind.partition(";")[0].strip() if known.kind == TEXT else known.kind
    try:
        if is_json(kind):
            return {"value": json.loads(data, parse_constant=_no_number), "mediaType": kind}
        if is_text(kind):
            told = data.decode()
            return told if known.kind == TEXT else {"value": told, "mediaType": kind}
    except (ValueError, RecursionError):
        pass
    encoded = base64.b64encode(data).decode()
    return {"value": encoded, "mediaType": kind, "encoding": "base64"}


def _no_number(told: str) -> Any:
    raise ValueError(f"{told} is no number of JSON")


def box_of(output: Output) -> dict[str, Any]:
    """A bounding box (bbox.yaml). The coordinates of a process are x before y, so what it calls
    EPSG:4326 is CRS84 here."""
    numbers = [float(one) for one in output.value or []]
    known = crs.key(output.crs)
    if known is None or (known not in _SYSTEMS and known[0] != "EPSG"):
        return {"bbox": numbers, "crs": output.crs}
    uri = _SYSTEMS.get(known, f"http://www.opengis.net/def/crs/EPSG/0/{known[1]}")
    return {"bbox": numbers, "crs": uri}
