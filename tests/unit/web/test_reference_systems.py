"""Reference systems of bounding boxes in OGC API - Processes, however they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from pywps import BoundingBoxInput, Process

from pywps_hpc.jobs.output import Output
from pywps_hpc.ogc_json import results
from pywps_hpc.ogc_json.values import CRS84, CRS84H
from pywps_hpc.settings import Settings
from pywps_hpc.web.ogcapi import values

OF_4326 = (
    "EPSG:4326",
    "epsg:4326",
    "urn:ogc:def:crs:EPSG::4326",
    "urn:ogc:def:crs:EPSG:6.6:4326",
    "http://www.opengis.net/def/crs/EPSG/0/4326",
)
OF_CRS84 = (CRS84, "urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:OGC::CRS84", "OGC:CRS84")


@pytest.mark.parametrize("name", [*OF_4326, *OF_CRS84])
def test_a__box_a_process_is_in_the_standards_reference_system(name: str) -> None:
    output = Output("box", kind="bbox", value=[7.0, 51.0, 8.0, 52.0], crs=name)
    assert results.box_of(output) == {"bbox": [7.0, 51.0, 8.0, 52.0], "crs": CRS84}


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("urn:ogc:def:crs:OGC:0:CRS84h", CRS84H),
        ("EPSG:4979", CRS84H),
        ("urn:ogc:def:crs:EPSG::3035", "http://www.opengis.net/def/crs/EPSG/0/3035"),
        (
            "http://www.opengis.net/def/crs/EPSG/0/3035",
            "http://www.opengis.net/def/crs/EPSG/0/3035",
        ),
        ("a grid of our own", "a grid of our own"),
    ],
)
def test_another_system_has_its_uri_and_an_unknown_one_its_name(name: str, uri: str) -> None:
    assert results.box_of(Output("box", kind="bbox", value=[1, 2, 3, 4], crs=name))["crs"] == uri


@pytest.mark.parametrize("supported", [*OF_4326, *OF_CRS84])
@pytest.mark.parametrize("asked", [None, *OF_CRS84])
def test_a_box_without_a_system_or_in_crs84_suits_whoever_knows_it_by_any_name(
    supported: str, asked: str | None
) -> None:
    process = Process(lambda: None, "p", "P", inputs=[BoundingBoxInput("box", "Box", [supported])])
    given = {"bbox": [7, 51, 8, 52], **({"crs": asked} if asked else {})}
    [found] = values.read(process, {"box": given}, Settings(spool=Path("/spool")))["box"]
    assert found["data"] == [7.0, 51.0, 8.0, 52.0]
    expected = supported if supported in OF_4326 else "urn:ogc:def:crs:OGC::CRS84"
    assert found["crs"] == expected
