"""The OGC's schemas of WPS 1.0.0, read from this folder and nowhere else."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lxml import etree

from places import SCHEMAS

#: Where a URL's file lies.
CATALOGUE = {
    "http://schemas.opengis.net/": SCHEMAS,
    "http://www.w3.org/": SCHEMAS / "w3c",
}


class _Local(etree.Resolver):
    def resolve(self, url: str, _public: str, context: Any) -> Any:
        for start, folder in CATALOGUE.items():
            if url.startswith(start):
                return self.resolve_filename(str(folder / url.removeprefix(start)), context)
        assert Path(url).is_relative_to(SCHEMAS), url
        return None


@functools.cache
def wps() -> etree.XMLSchema:
    """All of WPS 1.0.0, requests and responses, with OWS 1.1.0."""
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_Local())
    return etree.XMLSchema(etree.parse(str(SCHEMAS / "wps/1.0.0/wpsAll.xsd"), parser))


def faults(document: bytes) -> list[str]:
    """What is wrong with a document."""
    schema = wps()
    schema.validate(etree.fromstring(document))
    return [f"line {entry.line}: {entry.message}" for entry in schema.error_log]
