"""The pages in a real Chromium: what a person does with them, with and without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import iris_sample_data
import pytest

from browser import Browser, browser
from places import ROOT
from servers import HpcServer

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]  # which brings the browser

AXE = Path(__file__).parents[1] / "support" / "vendor" / "axe.min.js"
FEATURES = """{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},
 "geometry": {"type": "Polygon", "coordinates": [[[5, 45], [15, 47], [20, 55], [5, 45]]]}}]}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HpcServer]:
    container = {"runtime": "none", "python_path": ROOT}
    with HpcServer(
        tmp_path_factory.mktemp("server"),
        application="examples.service:service",
        code=ROOT,
        workers=1,
        sections={"hpc.container": container, "hpc.resources": {"memory": "2G"}},
    ) as started:
        yield started


@pytest.fixture(params=["with scripts", "without scripts"])
def person(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path / "browser") as opened:
        opened.screen(1100)
        opened.scripts_allowed = request.param == "with scripts"
        yield opened


def state(person: Browser) -> str:
    return person.value("main .chip")


def until(person: Browser, wanted: str, limit: float = 120) -> None:
    """Look at a job until it stands there; without scripts the page is loaded again."""

    def look() -> bool:
        if not person.scripts_allowed:
            person.open(person.address())
        return wanted in person.text()

    person.until(look, wanted, limit)


def test_a_person_runs_watches_and_ends_jobs(
    server: HpcServer, person: Browser, tmp_path: Path
) -> None:
    features = tmp_path / "features.geojson"
    features.write_text(FEATURES)
    base = f"{server.base}/ui/"

    # A form, a file, a box, and the map of what comes of it.
    person.open(f"{base}processes")
    person.click("a[href$='clip_features']")
    person.choose_file("input[type=file]", features)
    for corner, number in zip("0123", ("0", "40", "14", "54"), strict=True):
        person.type(f"[data-corner='{corner}']", number)
    person.click(".send button")
    until(person, "Succeeded")
    assert person.count("svg.map path.area[d^=M]") == 1

    # The climate process, and its picture.
    person.open(f"{base}processes/climate_anomaly")
    person.choose_file("input[type=file]", Path(iris_sample_data.path, "A1B_north_america.nc"))
    person.click(".send button")
    until(person, "Succeeded")
    picture = "document.querySelector('.output img')"
    person.run(f"{picture}.scrollIntoView()")
    person.until(lambda: person.run(f"{picture}.naturalWidth") > 100, "the picture is shown")

    # Progress, a pause, and the way on.
    person.open(f"{base}processes/countdown")
    person.type("[name='in.steps.0.value']", "60")
    person.click(".send button")
    until(person, "Running")
    until(person, "of 60 left")
    person.click("form[action$='/pause'] button")
    until(person, "Paused")
    person.click("form[action$='/resume'] button")
    until(person, "Running")

    # Another one with the same inputs, which is dismissed; the first goes on.
    first = person.address()
    person.click("form[action$='/again'] button")
    assert person.address() != first
    person.click("details.danger summary")
    person.click("form[action$='/dismiss'] button")
    until(person, "Dismissed")
    person.open(first)
    assert state(person) == "Running"
    person.click("details.danger summary")
    person.click("form[action$='/dismiss'] button")

    # One that fails says why, and shows its log.
    person.open(f"{base}processes/climate_anomaly")
    person.choose_file("input[type=file]", features)
    person.click(".send button")
    until(person, "Failed")
    until(person, "not a NetCDF file")
    assert "ProcessError" in person.value("pre.log")

    person.open(base)
    assert person.count("ul.cards > li") == 5
    assert person.problems == []
    assert {address.split("/ui/")[0] for address in person.asked} <= {
        server.base,
        *(address for address in person.asked if "/outputs/" in address),
    }


def test_nobody_is_left_out(server: HpcServer, tmp_path: Path) -> None:
    with browser(tmp_path / "browser") as person:
        person.screen(320)
        base = f"{server.base}/ui/"
        person.open(f"{base}processes/countdown")
        person.click(".send button")
        paths = [person.address(), base, f"{base}nowhere", f"{base}processes"]
        paths += [f"{base}processes/{name}" for name in ("countdown", "climate_anomaly")]
        paths += [f"{base}processes/clip_features"]
        for dark in (False, True):
            person.screen(320, dark=dark)
            for path in paths:
                person.open(path)
                width = "document.documentElement.scrollWidth"
                assert person.run(width) == 320, path
                person.run(AXE.read_text() + ";0")
                found = person.run(
                    "axe.run(document).then((told) => told.violations.map("
                    "(one) => one.id + ' ' + one.nodes.map((node) => node.html).join(' ')))"
                )
                assert found == [], (path, dark)


def test_a_box_is_drawn_on_the_map(server: HpcServer, tmp_path: Path) -> None:
    with browser(tmp_path / "browser") as person:
        person.screen(1100)
        person.open(f"{server.base}/ui/processes/climate_anomaly")
        left, top, width = person.run(
            "(() => { const map = document.querySelector('svg.draw');"
            " map.scrollIntoView({block: 'center'});"
            " const box = map.getBoundingClientRect(); return [box.left, box.top, box.width]; })()"
        )
        scale = width / 360
        person.mouse("mousePressed", left + 170 * scale, top + 30 * scale)
        person.mouse("mouseMoved", left + 200 * scale, top + 60 * scale)
        person.mouse("mouseReleased", left + 200 * scale, top + 60 * scale)
        corners = [
            float(person.run(f"document.querySelector('[data-corner=\"{n}\"]').value"))
            for n in range(4)
        ]
        assert corners == pytest.approx([-10, 30, 20, 60], abs=1)
        assert re.fullmatch(
            r"\d+", str(person.run("document.querySelector('rect').width.baseVal.value"))
        )
