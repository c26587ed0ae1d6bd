"""Processes that are hard to send because of what goes in and comes out."""

from __future__ import annotations

import base64
import datetime
import inspect
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from pywps import (
    FORMATS,
    UOM,
    BoundingBoxInput,
    BoundingBoxOutput,
    ComplexInput,
    ComplexOutput,
    Format,
    LiteralInput,
    Process,
    configuration,
)
from pywps.inout.literaltypes import AllowedValue
from pywps.inout.outputs import MetaFile, MetaLink4

from odd_kit import OPEN, TEXT, document, number, result, text, value, whole, word

CSV, JSON, XML = Format("text/csv"), FORMATS.JSON, Format("application/xml", extension=".xml")
PNG = Format("image/png", extension=".png", encoding="base64")
#: The smallest picture there is: one transparent pixel.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def open_process(handler: Any, identifier: str, inputs: list[Any], outputs: list[Any]) -> Process:
    return Process(
        handler, identifier=identifier, title=identifier, inputs=inputs, outputs=outputs, **OPEN
    )


def echo_box(request: Any, response: Any) -> None:
    """The box as it came, in the CRS that it came in."""
    box = request.inputs["area"][0]
    response.outputs["area"].data = box.data
    response.outputs["area"].crs = box.crs
    response.outputs["crs"].data = str(box.crs)


LITERALS = [
    number("length", uoms=[UOM("metre"), UOM("feet", reference="urn:feet")]),
    LiteralInput(
        "day",
        "Day",
        data_type="date",
        allowed_values=[
            AllowedValue(minval=datetime.date(1990, 1, 1), maxval=datetime.date(1999, 12, 31)),
            AllowedValue(minval=datetime.date(2010, 1, 1), maxval=datetime.date(2019, 12, 31)),
        ],
    ),
    LiteralInput("link", "Link", data_type="anyURI"),
    LiteralInput("clock", "Clock", data_type="time"),
    LiteralInput("moment", "Moment", data_type="dateTime"),
    LiteralInput("flag", "Flag", data_type="boolean"),
    whole("count", allowed_values=[1, 2, 3]),
    number("ratio", allowed_values=[AllowedValue(minval=0.0, maxval=1.0)]),
    word("colour", allowed_values=["red", "green"], default="green", min_occurs=0),
]


def echo_literals(request: Any, response: Any) -> None:
    """Every literal as it arrived, with its Python type."""
    kinds = {}
    for name, items in request.inputs.items():
        content = items[0].data
        kinds[name] = type(content).__name__
        response.outputs[name].data = content.geturl() if name == "link" else content
    unit = request.inputs["length"][0].uom
    response.outputs["unit"].data = str(getattr(unit, "uom", unit))
    response.outputs["kinds"].data = json.dumps(kinds, sort_keys=True)


def echo_texts(request: Any, response: Any) -> None:
    """The text as complex data, as a literal, and how the process saw it."""
    content = value(request)
    response.outputs["document"].data = content
    response.outputs["literal"].data = content
    response.outputs["seen"].data = json.dumps(content)


def fill_table(request: Any, response: Any) -> None:
    """A small table in the format that was asked for."""
    output = response.outputs["table"]
    rows = [["name", "metres"], ["Sněžka", 1603], ["Zugspitze", 2962]]
    kind = output.data_format.mime_type
    if kind == JSON.mime_type:
        output.data = {"rows": rows, "kind": value(request, "kind")}
    elif kind == CSV.mime_type:
        output.data = "".join(f"{name},{metres}\n" for name, metres in rows)
    else:
        path = Path(output.workdir, "table.xml")
        cells = "".join(f"<row><name>{a}</name><metres>{b}</metres></row>" for a, b in rows)
        path.write_text(f"<table>{cells}</table>", encoding="utf-8")
        output.file = str(path)
    response.outputs["kind"].data = kind


def make_picture(_request: Any, response: Any) -> None:
    """A binary file and a text file, named by the process."""
    picture, note = response.outputs["picture"], response.outputs["note"]
    Path(picture.workdir, "pixel.png").write_bytes(PIXEL)
    picture.file = str(Path(picture.workdir, "pixel.png"))
    Path(note.workdir, "note.txt").write_text("one pixel\n", encoding="utf-8")
    note.file = str(Path(note.workdir, "note.txt"))


def read_files(request: Any, response: Any) -> None:
    """What stands in the files that were given, by reference or inline."""
    found = []
    for item in request.inputs["file"]:
        content = Path(item.file).read_bytes()
        found.append(f"{len(content)} {content[:40]!r}")
    response.outputs["result"].data = "|".join(found)


def contains_text(given: Any, _mode: Any) -> bool:
    """A validator that opens what it is given, as PyWPS's own do."""
    return Path(given.file).read_bytes() != b""


def edit_files(request: Any, response: Any) -> None:
    """Read the files that were given, put others in their places, and wait, if told to, until a
    test says that it is enough: "go" in the job's folder."""
    files = [Path(item.file) for name in ("file", "checked") for item in request.inputs[name]]
    found = "|".join(f"{file.name} {file.read_text()}" for file in files)
    for file in files:
        assert file.parent == Path.cwd(), file
        file.unlink()
        file.write_text("edited")
    for path in Path("../inputs").glob("*/*") if value(request, "hostile") else ():
        try:
            path.unlink()
            found += f"|{path.name} removed"
        except OSError:
            found += f"|{path.name} stays"
    response.update_status(found, 50)
    while value(request, "wait") and not Path("../go").exists():
        time.sleep(0.05)
    response.outputs["result"].data = found


def read_address(request: Any, response: Any) -> None:
    """Open an address without PyWPS, as OPeNDAP's libraries do."""
    with urllib.request.urlopen(request.inputs["dataset"][0].url) as answer:
        response.outputs["result"].data = str(len(answer.read()))


def read_request(request: Any, response: Any) -> None:
    """What an HTTP request carries beside the WPS document."""
    http = request.http_request
    seen = {
        "team": http.headers.get("X-Team"),
        "agent": http.headers.get("User-Agent"),
        "accept": http.headers.get("Accept"),
        "method": http.method,
        "remote": http.remote_addr,
        "query": http.args.get("team"),
    }
    response.outputs["result"].data = json.dumps(seen, sort_keys=True)


def read_configuration(_request: Any, response: Any) -> None:
    """A section that belongs to the service itself, with a variable in its value."""
    response.outputs["result"].data = configuration.get_config_value("odd", "answer")
    response.outputs["title"].data = configuration.get_config_value(
        "metadata:main", "identification_title"
    )


def chatter(request: Any, response: Any) -> None:
    """Update the status as often as asked, as fast as possible."""
    times = value(request, "times")
    for number_ in range(times):
        response.update_status(f"step {number_} of {times}", 99 * number_ // times)
    response.outputs["result"].data = times


def make_collection(request: Any, response: Any) -> None:
    """Several files behind one Metalink document."""
    folder = response.outputs["collection"].workdir
    link = MetaLink4("collection", "Several files", workdir=folder)
    for index in range(value(request, "files")):
        file = MetaFile(f"part {index}", f"Part {index}", fmt=TEXT)
        path = Path(folder, f"part-{index}.txt")
        path.write_text(f"content {index}\n", encoding="utf-8")
        file.file = str(path)
        link.append(file)
    response.outputs["collection"].data = link.xml


def leave_elsewhere(request: Any, response: Any) -> None:
    """Outputs that stay at another server, in a Metalink and by themselves."""
    output = response.outputs["collection"]
    link = MetaLink4("collection", "Elsewhere", workdir=output.workdir)
    for item in request.inputs["address"]:
        file = MetaFile("remote", "Remote", fmt=TEXT)
        file.url = item.data
        link.append(file)
    output.data = link.xml
    response.outputs["document"].url = request.inputs["address"][0].data


def measure_stack(_request: Any, response: Any) -> None:
    """How deep below the program's first function the handler runs."""
    response.outputs["result"].data = len(inspect.stack(0))


def ring(_request: Any, response: Any) -> None:
    """Use characters that no XML document can hold, as a program's coloured output does."""
    response.update_status("\x1b[1mbell\x07\x1b[0m", 50)
    response.outputs["result"].data = "a\x00b"


def doze(request: Any, response: Any) -> None:
    """Sleep in ten steps and tell of each."""
    for step in range(10):
        response.update_status(f"slept {step} tenths", step * 10)
        print("tenth", step, flush=True)
        time.sleep(value(request, "seconds") / 10)
    response.outputs["result"].data = "awake"


def watch(request: Any, response: Any) -> None:
    """Tell again and again that it has not ended, until a file of this name is there."""
    step, file = 0, value(request)
    while not Path(file).exists():
        response.update_status(f"step {step}", step % 100)
        step += 1
        time.sleep(0.002)
    response.outputs["document"].data = file


CHECKED = Format("text/plain", extension=".dat", validate=contains_text)
PROCESSES = [
    open_process(
        echo_box,
        "box",
        [BoundingBoxInput("area", "Area", crss=["EPSG:4326", "EPSG:3035"])],
        [BoundingBoxOutput("area", "Area", crss=["EPSG:4326", "EPSG:3035"]), result("crs")],
    ),
    open_process(
        echo_literals,
        "literals",
        LITERALS,
        [
            *(result(item.identifier, item.data_type) for item in LITERALS[1:]),
            result("length", "float", uoms=[UOM("metre")]),
            result("unit"),
            result("kinds"),
        ],
    ),
    open_process(echo_texts, "texts", [text()], [document(), result("literal"), result("seen")]),
    open_process(
        fill_table,
        "table",
        [word("kind", min_occurs=0, default="peaks")],
        [ComplexOutput("table", "Table", supported_formats=[CSV, JSON, XML]), result("kind")],
    ),
    open_process(
        make_picture,
        "picture",
        [],
        [ComplexOutput("picture", "Picture", supported_formats=[PNG]), document("note")],
    ),
    open_process(
        read_files,
        "files",
        [ComplexInput("file", "File", [TEXT, PNG], min_occurs=1, max_occurs=5)],
        [result()],
    ),
    open_process(
        edit_files,
        "editor",
        [
            ComplexInput("file", "File", [TEXT], min_occurs=1, max_occurs=200),
            ComplexInput("checked", "Checked", [CHECKED]),
            whole("wait", min_occurs=0, default=0),
            whole("hostile", min_occurs=0, default=0),
        ],
        [result()],
    ),
    open_process(
        read_address,
        "dataset",
        [ComplexInput("dataset", "Dataset", [FORMATS.NETCDF, FORMATS.DODS])],
        [result()],
    ),
    open_process(read_request, "request", [], [result()]),
    open_process(read_configuration, "configuration", [], [result(), result("title")]),
    open_process(chatter, "chatter", [whole("times")], [result("result", "integer")]),
    open_process(
        make_collection,
        "collection",
        [whole("files")],
        [ComplexOutput("collection", "Collection", supported_formats=[FORMATS.META4])],
    ),
    open_process(
        leave_elsewhere,
        "elsewhere",
        [word("address", max_occurs=9)],
        [
            ComplexOutput("collection", "Collection", supported_formats=[FORMATS.META4]),
            document(),
        ],
    ),
    open_process(measure_stack, "stack", [], [result("result", "integer")]),
    open_process(ring, "bell", [], [result()]),
    open_process(doze, "sleeper", [number("seconds")], [result()]),
    open_process(watch, "watcher", [word()], [document()]),
]
