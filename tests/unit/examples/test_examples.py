"""The example processes, run by PyWPS itself in this process, on real model output."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from places import ROOT

if not os.environ.get("PYWPS_CFG"):
    os.environ.pop("PYWPS_CFG", None)  # PyWPS cannot be imported with an empty one

for needed in ("netCDF4", "xarray", "matplotlib", "shapely", "pyproj", "iris_sample_data"):
    pytest.importorskip(needed, reason=f"{needed}: see examples/requirements*.txt")

import iris_sample_data  # noqa: E402
import netCDF4  # noqa: E402
import numpy as np  # noqa: E402
from owslib.ows import BoundingBox  # noqa: E402
from owslib.wps import ComplexDataInput  # noqa: E402

from plain_examples import OWS, WPS, Answer, Execute  # noqa: E402
from plain_examples import execute as execute  # noqa: E402
from servers import free_port  # noqa: E402

DATA = Path(iris_sample_data.__file__).parent / "sample_data"
A1B = DATA / "A1B_north_america.nc"


@pytest.fixture(scope="module")
def a1b(execute: Execute) -> Answer:
    """The answer for the scenario A1B with nothing else asked."""
    return execute("climate_anomaly", ("dataset", reference(A1B)))


def reference(path: Path) -> ComplexDataInput:
    return ComplexDataInput(path.as_uri(), mimeType="application/x-netcdf")


def box(lower: str, upper: str, crs: str = "urn:ogc:def:crs:OGC:1.3:CRS84") -> str:
    return (
        f'<wps:Input xmlns:wps="{WPS[1:-1]}" xmlns:ows="{OWS[1:-1]}">'
        f"<ows:Identifier>bbox</ows:Identifier><wps:Data>"
        f'<wps:BoundingBoxData crs="{crs}" dimensions="2"><ows:LowerCorner>{lower}'
        f"</ows:LowerCorner><ows:UpperCorner>{upper}</ows:UpperCorner>"
        f"</wps:BoundingBoxData></wps:Data></wps:Input>"
    )


def opened(content: bytes) -> Any:
    return netCDF4.Dataset("in memory", memory=content)


def write_monthly(path: Path, months: int = 48) -> Path:
    """Four years from 2000 on: an annual cycle of 10 K, and 1 K more in each year."""
    with netCDF4.Dataset(path, "w") as data:
        for name, size in (("time", months), ("lat", 3), ("lon", 4)):
            data.createDimension(name, size)
        time = data.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 2000-01-01", "360_day"
        time[:] = 15 + 30 * np.arange(months)
        for name, units, values in (
            ("lat", "degrees_north", [60, 0, -60]),
            ("lon", "degrees_east", [0, 90, 180, 270]),
        ):
            axis = data.createVariable(name, "f4", (name,))
            axis.units = units
            axis[:] = values
        tas = data.createVariable("tas", "f4", ("time", "lat", "lon"))
        tas.units, tas.standard_name = "degC", "air_temperature"
        month = np.arange(months)
        series = 10 * np.sin(2 * np.pi * (month % 12) / 12) + month // 12
        tas[:] = np.broadcast_to(series[:, None, None], (months, 3, 4))
    return path


# climate_anomaly: the numbers


def test_anomaly_and_numbers_agree_with_an_independent_computation(a1b: Answer) -> None:
    with netCDF4.Dataset(A1B) as data:
        values = data["air_temperature"][:].astype(float)
        weights = np.cos(np.deg2rad(data["latitude"][:]))
    years = np.arange(1860, 2100)
    expected = values - values[(years >= 1961) & (years <= 1990)].mean(axis=0)
    regional = (expected.mean(axis=2) * weights).sum(axis=1) / weights.sum()
    absolute = (values.mean(axis=2) * weights).sum(axis=1) / weights.sum()

    assert a1b.error is None
    with opened(a1b.bytes("anomaly")) as result:
        np.testing.assert_allclose(result["air_temperature_anomaly"][:], expected, atol=1e-4)
        np.testing.assert_allclose(result["regional_anomaly"][:], regional, atol=1e-6)
        np.testing.assert_allclose(result["recent_anomaly"][:], expected[-30:].mean(0), atol=1e-4)
    numbers = a1b.json("summary")
    assert numbers["reference"]["mean"] == pytest.approx(absolute[101:131].mean(), abs=1e-3)
    assert numbers["recent"]["anomaly"] == pytest.approx(regional[-30:].mean(), abs=1e-3)
    assert numbers["trend"] == pytest.approx(10 * np.polyfit(years, regional, 1)[0], abs=1e-3)
    assert numbers["decades"][0] == {
        "start": 1860,
        "end": 1869,
        "anomaly": pytest.approx(regional[:10].mean(), abs=1e-3),
    }
    assert len(numbers["decades"]) == 24


def test_same_input_gives_the_same_bytes(execute: Execute, a1b: Answer) -> None:
    again = execute("climate_anomaly", ("dataset", reference(A1B)))
    for name in ("anomaly", "summary", "plot"):
        assert a1b.outputs[name].text == again.outputs[name].text
    assert a1b.bytes("plot").startswith(b"\x89PNG")
    assert b"tIME" not in a1b.bytes("plot")


def test_progress_rises_with_the_decades_done(a1b: Answer) -> None:
    percents = [percent for _, percent in a1b.updates]
    assert percents == sorted(percents)
    assert len(set(percents)) > 20
    assert ("Anomalies of 1860-1869 computed", 33) in a1b.updates


def test_output_is_described_by_cf_attributes_without_a_clock(a1b: Answer) -> None:
    with opened(a1b.bytes("anomaly")) as result:
        assert result.Conventions == "CF-1.11"
        assert result.history == "climate_anomaly: air_temperature minus its 1961-1990 mean"
        anomaly = result["air_temperature_anomaly"]
        assert (anomaly.standard_name, anomaly.units) == ("air_temperature_anomaly", "K")
        assert anomaly.filters()["zlib"]
        assert result["time"].calendar == "360_day"
        assert result["time"].bounds in result.variables
        assert set(result.variables) - set(anomaly.dimensions) <= {
            "air_temperature_anomaly", "air_temperature_reference", "recent_anomaly",
            "regional_anomaly", "year", "height", "latitude_longitude", "time_bnds",
        }  # fmt: skip


def test_monthly_data_lose_their_annual_cycle(execute: Execute, tmp_path: Path) -> None:
    answer = execute(
        "climate_anomaly",
        ("dataset", reference(write_monthly(tmp_path / "tas.nc"))),
        ("reference_start", "2000"),
        ("reference_end", "2001"),
    )
    assert answer.error is None
    with opened(answer.bytes("anomaly")) as result:
        values = result["tas_anomaly"][:]
        assert result["tas_anomaly"].units == "K"
        np.testing.assert_array_equal(result["month"][:], np.arange(1, 13))
    expected = np.repeat([-0.5, 0.5, 1.5, 2.5], 12)
    np.testing.assert_allclose(
        values, np.broadcast_to(expected[:, None, None], values.shape), atol=1e-5
    )
    numbers = answer.json("summary")
    assert numbers["time_step"] == "month"
    assert numbers["trend"] == pytest.approx(10)


def test_incomplete_last_year_is_left_out_of_the_annual_means(
    execute: Execute, tmp_path: Path
) -> None:
    answer = execute(
        "climate_anomaly",
        ("dataset", reference(write_monthly(tmp_path / "tas.nc", months=42))),
        ("reference_start", "2000"),
        ("reference_end", "2001"),
    )
    assert answer.json("summary")["period"] == {"start": 2000, "end": 2002, "years": 3}


def test_inline_base64_gives_what_the_reference_gives(execute: Execute, a1b: Answer) -> None:
    content = base64.b64encode(A1B.read_bytes()).decode()
    inline = ComplexDataInput(content, mimeType="application/x-netcdf", encoding="base64")
    by_value = execute("climate_anomaly", ("dataset", inline))
    assert by_value.outputs["anomaly"].text == a1b.outputs["anomaly"].text


@pytest.mark.parametrize(
    "bbox",
    [
        box("-110 30", "-90 45"),
        box("250 30", "270 45"),
        box("30 -110", "45 -90", crs="urn:ogc:def:crs:EPSG::4326"),
    ],
    ids=["degrees west", "degrees east", "latitude first"],
)
def test_region_is_cut_whatever_way_its_box_is_written(execute: Execute, bbox: str) -> None:
    answer = execute("climate_anomaly", ("dataset", reference(A1B)), bbox=bbox)
    assert answer.error is None
    region = answer.json("summary")["region"]
    assert (region["south"], region["north"]) == (30, 45)
    assert region["west"] >= -110
    assert region["east"] <= -90
    assert region["grid_points"] == 13 * 11


def test_region_across_greenwich_is_in_one_piece(execute: Execute, tmp_path: Path) -> None:
    answer = execute(
        "climate_anomaly",
        ("dataset", reference(write_monthly(tmp_path / "tas.nc"))),
        ("reference_start", "2000"),
        ("reference_end", "2001"),
        bbox=box("-100 -90", "100 90"),
    )
    region = answer.json("summary")["region"]
    assert (region["west"], region["east"], region["grid_points"]) == (-90, 90, 9)


# climate_anomaly: the sentences


@pytest.mark.parametrize(
    ("inputs", "bbox", "sentence"),
    [
        (
            [("variable", "tas")],
            "",
            "The dataset has no variable named tas. Fields in this dataset: air_temperature.",
        ),
        (
            [("variable", "height")],
            "",
            "The variable height is not a field of time, latitude and longitude. "
            "Fields in this dataset: air_temperature.",
        ),
        (
            [("reference_start", "1800"), ("reference_end", "1829")],
            "",
            "The reference period 1800 to 1829 lies outside the data, "
            "which cover the years 1860 to 2099.",
        ),
        (
            [("reference_start", "1990"), ("reference_end", "1961")],
            "",
            "The reference period starts in 1990, after its end in 1961.",
        ),
        (
            [],
            box("0 40", "20 50"),
            "No grid point of the dataset lies in the bounding box 0, 40, 20, 50. The dataset "
            "covers longitudes -135 to -45 and latitudes 15 to 60.",
        ),
        (
            [],
            box("-100 50", "-90 40"),
            "The bounding box must go from south to north between -90 and 90 degrees, "
            "not from 50 to 40.",
        ),
    ],
    ids=["no variable", "no field", "outside", "reversed", "empty box", "upside down"],
)
def test_bad_request_is_answered_with_a_sentence(
    execute: Execute, inputs: list[tuple[str, str]], bbox: str, sentence: str
) -> None:
    answer = execute("climate_anomaly", ("dataset", reference(A1B)), *inputs, bbox=bbox)
    assert answer.error == f"Process error: {sentence}"


def test_year_out_of_any_sense_is_refused_before_the_job_starts(execute: Execute) -> None:
    answer = execute("climate_anomaly", ("dataset", reference(A1B)), ("reference_start", "61"))
    assert answer.error is not None
    assert not answer.updates


def test_what_is_not_netcdf_is_told_so_without_a_path(execute: Execute, tmp_path: Path) -> None:
    path = tmp_path / "table.nc"
    path.write_text("year,temperature\n1990,287\n")
    answer = execute("climate_anomaly", ("dataset", reference(path)))
    assert answer.error == (
        "Process error: The input dataset is not a NetCDF file that can be read."
    )


def test_gap_in_the_reference_period_is_told(execute: Execute, tmp_path: Path) -> None:
    answer = execute(
        "climate_anomaly",
        ("dataset", reference(write_monthly(tmp_path / "tas.nc", months=42))),
        ("reference_start", "2000"),
        ("reference_end", "2003"),
    )
    assert answer.error is not None
    assert "not complete in the reference period 2000 to 2003" in answer.error
    assert "2003" in answer.error


# clip_features


def features(*geometries: dict[str, Any], **properties: Any) -> ComplexDataInput:
    collection = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": properties, "geometry": geometry}
            for geometry in geometries
        ],
    }
    return ComplexDataInput(json.dumps(collection), mimeType="application/geo+json")


def square(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def test_features_are_cut_along_the_box(execute: Execute) -> None:
    answer = execute(
        "clip_features",
        ("features", features(square(0, 0, 4, 4), square(40, 40, 41, 41), name="a < b & c")),
        bbox=box("0 1", "1 2", crs="epsg:4326"),  # latitude 0..1, longitude 1..2
    )
    assert answer.error is None
    result = answer.json("features")
    assert len(result["features"]) == 1
    assert result["features"][0]["properties"] == {"name": "a < b & c"}
    longitudes, latitudes = np.array(result["features"][0]["geometry"]["coordinates"][0]).T
    assert (longitudes.min(), longitudes.max()) == (1, 2)
    assert (latitudes.min(), latitudes.max()) == (0, 1)
    # One degree square at the equator on WGS 84: 110.574 km by 111.32 km.
    assert float(answer.outputs["area"].text) == pytest.approx(12308.78, rel=1e-4)
    assert answer.outputs["area"].get("uom") == "http://www.opengis.net/def/uom/UCUM/km2"


def test_extent_is_given_in_the_crs_of_the_box(execute: Execute) -> None:
    # A box of 100 km by 200 km in the projection's centre (10 E, 52 N is 4321000, 3210000).
    answer = execute(
        "clip_features",
        ("features", features(square(0, 45, 20, 60))),
        bbox=box("3110000 4271000", "3310000 4371000", crs="urn:ogc:def:crs:EPSG::3035"),
    )
    assert answer.error is None
    extent = BoundingBox(answer.outputs["extent"])
    assert extent.crs.code == 3035
    corners = [float(n) for n in (extent.minx, extent.miny, extent.maxx, extent.maxy)]
    assert corners == pytest.approx([4271000, 3110000, 4371000, 3310000], abs=1)
    assert float(answer.outputs["area"].text) == pytest.approx(20000, rel=1e-4)


@pytest.mark.parametrize(
    ("data", "bbox", "sentence"),
    [
        (features(square(0, 0, 1, 1)), box("40 40", "41 41", "epsg:4326"), "No feature lies in"),
        (features(square(0, 0, 1, 1)), box("5 1", "4 2", "epsg:4326"), "The bounding box is empty"),
        (
            features(square(0, 0, 1, 1)),
            box("0 0", "1 1", "epsg:32633"),
            "The bounding box must be in one of these systems: epsg:4326, epsg:3035.",
        ),
        (features({"type": "Polygon"}), box("0 0", "1 1", "epsg:4326"), "A feature has a geometry"),
        (
            ComplexDataInput("{]", mimeType="application/geo+json"),
            box("0 0", "1 1", "epsg:4326"),
            "The features are not JSON.",
        ),
    ],
    ids=["nothing inside", "empty box", "other crs", "no coordinates", "no json"],
)
def test_what_cannot_be_cut_is_told_in_a_sentence(
    execute: Execute, data: ComplexDataInput, bbox: str, sentence: str
) -> None:
    answer = execute("clip_features", ("features", data), bbox=bbox)
    assert answer.error is not None
    assert answer.error.startswith(f"Process error: {sentence}")


# whereami and countdown


def test_report_names_environment_variables_but_never_their_values(
    execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_SECRET", "never to be shown")
    answer = execute("whereami")
    report = answer.json("report")
    assert "DEMO_SECRET" in report["environment"]
    assert "never to be shown" not in answer.outputs["report"].text
    assert report["uid"] == os.getuid()
    assert Path(report["working_directory"]).name in report["beside_working_directory"]
    assert int(report["capabilities"], 16) >= 0


def test_report_tells_whether_an_address_answers(execute: Execute) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=server.accept, daemon=True).start()
        open_port = execute("whereami", ("connect", address)).json("report")["connect"]
    nobody = f"127.0.0.1:{free_port()}"
    closed_port = execute("whereami", ("connect", nobody)).json("report")["connect"]
    assert open_port == {"address": address, "connected": True}
    assert closed_port["connected"] is False
    assert closed_port["reason"]
    assert execute("whereami", ("connect", "nowhere")).error == (
        "Process error: The address to try must have the form host:port."
    )


def test_countdown_ticks_as_often_as_asked(execute: Execute) -> None:
    answer = execute("countdown", ("steps", "4"), ("seconds", "0.01"))
    assert [line.split()[0] for line in answer.outputs["ticks"].text.split("\n") if line] == [
        "1", "2", "3", "4",
    ]  # fmt: skip
    assert answer.updates == [
        ("3 of 4 left", 25),
        ("2 of 4 left", 50),
        ("1 of 4 left", 75),
        ("0 of 4 left", 100),
    ]


# service and demo


def test_describing_the_processes_loads_no_scientific_library() -> None:
    code = (
        "import sys, examples.processes as p; [c() for c in (p.ClimateAnomaly, p.ClipFeatures)];"
        "print(sorted({'numpy', 'xarray', 'netCDF4', 'matplotlib', 'shapely'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_service_is_plain_pywps_unless_its_configuration_says_scheduler() -> None:
    code = (
        "from examples.service import application, service\n"
        "assert application is service\n"
        "print(*service.processes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYWPS_CFG": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["climate_anomaly", "clip_features", "countdown", "whereami"]


@pytest.mark.skipif(importlib.util.find_spec("rich") is None, reason="the demo needs rich")
def test_demo_says_why_when_nobody_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "demo.py"),
            "--url",
            f"http://127.0.0.1:{free_port()}/wps",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Failed: no answer from" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
