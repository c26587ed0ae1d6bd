"""The OGC's schemas of WPS 1.0.0 and 2.0, read from this folder and nowhere else."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

from lxml import etree

from places import SCHEMAS

#: Where a URL's file lies.
CATALOGUE = {
    "http://schemas.opengis.net/": SCHEMAS,
    "http://www.w3.org/": SCHEMAS / "w3c",
}
#: The schemas of all documents of a version of WPS.
ENTRIES = {
    "1.0.0": ("wps/1.0.0/wpsAll.xsd",),
    "2.0": ("wps/2.0/wps.xsd", "ows/2.0/owsAll.xsd"),
}
#: A schema has one list of errors, and cannot be read by two threads at once.
_TURN = threading.Lock()


class _Local(etree.Resolver):
    def resolve(self, url: str, _public: str, context: Any) -> Any:
        for start, folder in CATALOGUE.items():
            if url.startswith(start):
                return self.resolve_filename(str(folder / url.removeprefix(start)), context)
        assert Path(url).is_relative_to(SCHEMAS), url
        return None


@functools.cache
def wps(version: str = "1.0.0") -> etree.XMLSchema:
    """All of a version of WPS, requests and responses, with what it needs of OWS Common."""
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Local())
    spaces = ("http://www.opengis.net/wps/2.0", "http://www.opengis.net/ows/2.0")
    if version == "1.0.0":
        return etree.XMLSchema(etree.parse(str(SCHEMAS / ENTRIES[version][0]), parser))
    imports = "".join(
        f"<xs:import namespace='{space}' schemaLocation='http://schemas.opengis.net/{file}'/>"
        for space, file in zip(spaces, ENTRIES[version], strict=True)
    )
    whole = f"<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema'>{imports}</xs:schema>"
    return etree.XMLSchema(etree.fromstring(whole, parser))


def faults(document: bytes, version: str = "1.0.0") -> list[str]:
    """What is wrong with a document."""
    with _TURN:
        schema = wps(version)
        schema.validate(etree.fromstring(document))
        return [f"line {entry.line}: {entry.message}" for entry in schema.error_log]
