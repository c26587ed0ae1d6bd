"""Processes whose output files have odd names, are links, or do not stay where they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pywps import Process, Service
from pywps.inout.outputs import MetaFile, MetaLink4
from pywps.inout.storage.file import FileStorageBuilder

from odd_kit import OPEN, TEXT, document, result, text, value, word


def _names(request: Any) -> list[str]:
    return [item.data for item in request.inputs["name"]]


def _place(response: Any, identifier: str, folder: str, name: str, content: str) -> None:
    """Write a file and give it as an output."""
    output = response.outputs[identifier]
    path = Path(output.workdir, folder, name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    output.file = str(path)


def named(request: Any, response: Any) -> None:
    """A file of this name."""
    _place(response, "first", "", value(request, "name"), "the first")


def twice(request: Any, response: Any) -> None:
    """Two files of one name."""
    _place(response, "first", "a", value(request, "name"), "the first")
    _place(response, "second", "b", value(request, "name"), "the second")


def shared(request: Any, response: Any) -> None:
    """One file as two outputs."""
    _place(response, "first", "", value(request, "name"), "the first")
    response.outputs["second"].file = response.outputs["first"].file


def passed(request: Any, response: Any) -> None:
    """An input, as it is and behind a link of the process's own."""
    given = request.inputs["file"][0].file
    response.outputs["first"].file = given
    link = Path(response.outputs["second"].workdir, "latest.txt")
    os.symlink(given, link)
    response.outputs["second"].file = str(link)


def behind(request: Any, response: Any) -> None:
    """Files of odd names behind a Metalink."""
    link = MetaLink4("collection", "Several files", workdir=response.outputs["first"].workdir)
    for item in request.inputs["name"]:
        path = Path(response.outputs["first"].workdir, item.data)
        path.write_text(f"behind {item.data}")
        file = MetaFile(item.data, "One of several", fmt=TEXT)
        file.file = str(path)
        link.append(file)
    response.outputs["first"].data = link.xml


def by_storage(request: Any, response: Any) -> None:
    """A file that the process writes to PyWPS's storage itself."""
    storage = FileStorageBuilder().build()
    response.outputs["address"].data = storage.write("written\n", value(request, "name"))


def removed(request: Any, response: Any) -> None:
    """An output that is stored, and then removed from the storage."""
    _place(response, "first", "", "gone.txt", "the first")
    output = response.outputs["first"]
    output.storage = FileStorageBuilder().build()
    output.get_url()
    for path in Path(output.storage.target).rglob("gone*.txt"):
        path.unlink()


def hidden(request: Any, response: Any) -> None:
    """An output that is stored, and whose folder is then replaced by a link to another one."""
    _place(response, "first", "", "there.txt", "the first")
    output = response.outputs["first"]
    output.storage = FileStorageBuilder().build()
    output.get_url()
    folder = Path(output.storage.target, str(output.uuid))
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def locked(request: Any, response: Any) -> None:
    """A file that nobody may read, as one output."""
    _place(response, "first", "", "locked.txt", "the first")
    os.chmod(response.outputs["first"].file, 0)


def never_there(request: Any, response: Any) -> None:
    """An output whose file there is not."""
    response.outputs["first"].file = str(Path(response.outputs["first"].workdir, "never.txt"))


def _process(handler: Any, inputs: list[Any], outputs: list[Any]) -> Process:
    name = handler.__name__
    return Process(handler, identifier=name, title=name, inputs=inputs, outputs=outputs, **OPEN)


def _file(identifier: str) -> Any:
    return document(identifier, as_reference=True)


NAME = word("name", max_occurs=20)
FIRST, SECOND = _file("first"), _file("second")
service = Service(
    [
        _process(named, [NAME], [FIRST]),
        _process(twice, [NAME], [FIRST, SECOND]),
        _process(shared, [NAME], [FIRST, SECOND]),
        _process(passed, [text("file")], [FIRST, SECOND]),
        _process(behind, [NAME], [FIRST]),
        _process(by_storage, [NAME], [result("address")]),
        _process(removed, [], [FIRST]),
        _process(hidden, [], [FIRST]),
        _process(locked, [], [FIRST]),
        _process(never_there, [], [FIRST]),
    ]
)
