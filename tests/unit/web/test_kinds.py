"""A media type is JSON, XML, other text, or bytes."""

from __future__ import annotations

import pytest

from pywps_hpc.kinds import is_json, is_text, is_xml

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("kind", "json", "xml", "text"),
    [
        ("application/json", True, False, True),
        ("application/geo+json; charset=utf-8", True, False, True),
        ("text/xml", False, True, True),
        ("application/gml+xml; version=3.2", False, True, True),
        ("image/svg+xml", False, True, True),
        ("text/csv", False, False, True),
        ("application/wkt", False, False, True),
        (WORD, False, False, False),
        ("application/x-netcdf", False, False, False),
        ("", False, False, False),
    ],
)
def test_what_a_media_type_is(kind: str, json: bool, xml: bool, text: bool) -> None:
    assert (is_json(kind), is_xml(kind), is_text(kind)) == (json, xml, text)
