"""A drained service accepts nothing new, says why by every face, and goes on with what it has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from werkzeug.test import TestResponse

import wps2_client as wps2
import wps_client as client
from in_process_service import InProcessService, open_service
from pywps_hpc.cli import commands

MESSAGE = "The file system is being exchanged until 14:00 UTC."


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drained")


@pytest.fixture(scope="module")
def app(place: Path) -> Iterator[InProcessService]:
    with open_service(place) as app:
        app.heartbeat()
        yield app


@pytest.fixture
def command(place: Path, app: InProcessService) -> Iterator[Callable[..., Result]]:
    """Run a command for the service; at the end it is drained no more."""
    config = next(place.glob("*.cfg"))

    def run(name: str, *arguments: str) -> Result:
        ended = CliRunner().invoke(commands, [name, "--config", str(config), *arguments])
        assert ended.exit_code in (0, 2), ended.output
        return ended

    yield run
    run("undrain")


def _wps1(app: InProcessService) -> TestResponse:
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    return app.web.post("/wps", data=document, content_type="text/xml")


def _wps1_sync(app: InProcessService) -> TestResponse:
    document = client.execute_document("repeat_2", [("text", "a")])
    return app.web.post("/wps", data=document, content_type="text/xml")


def _wps2(app: InProcessService) -> TestResponse:
    document = wps2.execute_document(
        "repeat_2", [wps2.literal("text", "a")], [wps2.output("result")], mode="async"
    )
    return app.web.post("/wps", data=document, content_type="text/xml")


def _ogcapi(app: InProcessService) -> TestResponse:
    asked = {"Prefer": "respond-async"}
    return app.web.post(
        "/processes/repeat_2/execution", json={"inputs": {"text": "a"}}, headers=asked
    )


def _page(app: InProcessService) -> TestResponse:
    found = re.search(r'name="token" value="(\w+)"', app.web.get("/ui/").text)
    assert found
    values = {"token": found[1], "in.text.0.value": "a", "run": "yes"}
    return app.web.post("/ui/processes/repeat_2", data=values)


FACES = (_wps1, _wps1_sync, _wps2, _ogcapi, _page)


@pytest.mark.parametrize("send", FACES, ids=lambda send: send.__name__.strip("_"))
def test_every_face_tells_the_message_and_when_to_come_back(
    app: InProcessService,
    command: Callable[..., Result],
    send: Callable[[InProcessService], TestResponse],
) -> None:
    before = sum(app.store.count().values())
    command("drain", "--message", MESSAGE, "--retry-after", "2h")
    answer = send(app)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7200")
    assert MESSAGE in answer.text
    assert sum(app.store.count().values()) == before
    assert set(app.spool.job_ids()) == {row.id for row in app.store.recent()}
    command("undrain")
    if send is not _wps1_sync:  # it would wait for its end
        assert send(app).status_code in (200, 201, 303)


def test_what_was_accepted_goes_on_and_is_shown(
    app: InProcessService, command: Callable[..., Result]
) -> None:
    job = app.accept()
    command("drain")
    assert app.get(f"/jobs/{job.job_id}").status_code == 200
    assert app.row(job).state.value == "accepted"


def test_status_tells_that_the_service_is_drained(
    app: InProcessService, command: Callable[..., Result]
) -> None:
    command("drain", "-m", "a\nb")
    assert "a b" in command("status").output
    assert json.loads(command("status", "--json").stdout)["drained"]["message"] == "a b"
    assert json.loads(command("undrain", "--json").stdout)["was_drained"] is True
    assert json.loads(command("undrain", "--json").stdout)["was_drained"] is False
    assert json.loads(command("status", "--json").stdout)["drained"] is None


def test_a_time_to_wait_that_is_none_is_refused(
    app: InProcessService, command: Callable[..., Result]
) -> None:
    for text in ("6m", "0", "2d"):
        assert command("drain", "--retry-after", text).exit_code == 2
    assert json.loads(command("status", "--json").stdout)["drained"] is None


def test_a_job_that_was_being_read_when_the_service_was_drained_is_not_accepted(
    app: InProcessService, command: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pywps_hpc.web import packing

    pack = packing.pack

    def drained_meanwhile(*given: object, **named: object) -> bytes:
        command("drain", "-m", MESSAGE)
        return pack(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "pack", drained_meanwhile)
    answer = _wps1(app)
    assert answer.status_code == 503
    assert MESSAGE in answer.text
