"""The pictures of the pages in ``docs/screenshots/``: `make screenshots` takes them anew.

A service with the example processes runs here for it, and a browser opens its pages.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import iris_sample_data
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))  # beside this file's own folder

from browser import Browser, browser
from places import ROOT
from servers import HpcServer

FOLDER = ROOT / "docs" / "screenshots"
DATA = Path(iris_sample_data.path, "A1B_north_america.nc")
WIDE, PHONE = 960, 390


def take(person: Browser, name: str, most: int = 1500) -> None:
    """The page as it is, in few colours, so that the repository stays small."""
    person.run("window.scrollTo(0, 0)")
    path = FOLDER / f"{name}.png"
    person.picture(path, most=most)
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def until(person: Browser, text: str) -> None:
    person.until(lambda: text in person.text(), text)


def send(person: Browser, base: str, process: str, file: Path | None = None) -> None:
    """Fill in a form and send it; the page of the job follows."""
    person.open(f"{base}processes/{process}")
    if file is not None:
        person.choose_file("input[type=file]", file)
    if process == "countdown":
        person.type("[name='in.steps.0.value']", "60")
    person.click(".send button")


def main(folder: Path) -> None:
    """Take them all, in the order in which a person comes by these pages."""
    sections = {
        "metadata:main": {"identification_title": "Climate processes"},
        "hpc.container": {"runtime": "none", "python_path": ROOT},
        "hpc.resources": {"memory": "2G"},
    }
    application = "examples.service:service"
    with (
        HpcServer(
            folder, application=application, code=ROOT, workers=1, sections=sections
        ) as server,
        browser(folder / "browser") as person,
    ):
        base = f"{server.base}/ui/"
        person.screen(WIDE, 1700)  # what is out of sight may not have been drawn
        person.open(f"{base}processes/climate_anomaly")
        take(person, "form", 1700)
        send(person, base, "climate_anomaly", DATA)
        until(person, "Succeeded")
        person.until(lambda: person.count(".output img"), "the picture is there")
        person.run("document.querySelector('.output img').decode()")
        person.run(
            "new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))"
        )
        take(person, "job")

        person.screen(PHONE, 1230)
        send(person, base, "countdown")
        person.until(lambda: re.search(r"\b[34]\d of 60 left", person.text()), "it counts")
        take(person, "phone")
        person.screen(WIDE, 1060, dark=True)
        person.click("form[action$='/pause'] button")
        until(person, "Paused")
        person.until(lambda: "being carried out" not in person.text(), "it is paused")
        person.click("details.danger summary")
        take(person, "paused-dark")

        text = folder / "table.nc"
        text.write_text("year,temperature\n1990,287\n")
        send(person, base, "climate_anomaly", text)
        until(person, "Failed")
        person.screen(PHONE, 1230, dark=True)
        person.open(base)
        take(person, "phone-dark")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
