"""Resources that clients ask for, in every face; and accounts that jobs are charged to."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import etree
from pywps.exceptions import InvalidParameterValue
from werkzeug.test import TestResponse

import wps2_client as wps2
import wps_client as client
from in_process_service import InProcessService, open_service
from joblauncher.shared import dump
from owner_accounts import owner_sections
from pywps_hpc.jobs import Job
from pywps_hpc.settings import needs
from pywps_hpc.web import requested

PROCESS = "repeat_2"
RESOURCES = {
    "cpus": 1,
    "memory": "2G + 3 * input",
    "max_memory": "8G",
    "walltime": "00:10:00",
    "client_cpus": "1..16",
    "client_memory": "1G..64G",
    "client_walltime": "00:01:00..02:00:00",
    "client_queue": "short, long",
}
PERMITTED = {
    "hpc_cpus": ("4", "400", "1 to 16"),
    "hpc_memory": ("4096", "4G", "1024 to 65536 MiB"),
    "hpc_walltime": ("120", "59", "60 to 7200 s"),
    "hpc_queue": ("long", "longer", "one of: short, long"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    with open_service(
        tmp_path_factory.mktemp("asking"),
        **{
            "hpc.resources": RESOURCES,
            "hpc.process.joined": {
                "client_cpus": "",
                "client_memory": "",
                "client_walltime": "",
                "client_queue": "",
            },
        },
    ) as found:
        yield found


def wps1(app: InProcessService, name: str, value: str, user: str = "") -> TestResponse:
    document = client.execute_document(PROCESS, [("text", "a"), (name, value)], asynchronous=True)
    return app.web.post("/wps", data=document, content_type="text/xml", environ_overrides=who(user))


def kvp(app: InProcessService, name: str, value: str, user: str = "") -> TestResponse:
    query = (
        f"service=WPS&version=1.0.0&request=Execute&identifier={PROCESS}"
        f"&datainputs=text=a;{name}={value}&storeexecuteresponse=true&status=true"
    )
    return app.web.get(f"/wps?{query}", environ_overrides=who(user))


def second(app: InProcessService, name: str, value: str, user: str = "") -> TestResponse:
    inputs = [wps2.literal("text", "a"), wps2.literal(name, value)]
    document = wps2.execute_document(PROCESS, inputs, [wps2.output("result")], mode="async")
    return app.web.post("/wps", data=document, content_type="text/xml", environ_overrides=who(user))


def ogc(app: InProcessService, name: str, value: str, user: str = "") -> TestResponse:
    told = int(value) if value.isdigit() else value
    return app.web.post(
        f"/processes/{PROCESS}/execution",
        json={"inputs": {"text": "a", name: told}},
        environ_overrides=who(user),
    )


def form(app: InProcessService, name: str, value: str, user: str = "") -> TestResponse:
    path = f"/ui/processes/{PROCESS}"
    page = app.web.get(path, environ_overrides=who(user)).text
    token = re.search(r'name="token" value="(\w+)"', page)
    assert token, page
    values = {"in.text.0.value": "a", f"in.{name}.0.value": value, "token": token[1], "run": "yes"}
    return app.web.post(
        path, data=values, content_type="multipart/form-data", environ_overrides=who(user)
    )


FACES: list[Callable[..., TestResponse]] = [wps1, kvp, second, ogc, form]


def who(user: str) -> dict[str, str]:
    return {"REMOTE_USER": user} if user else {}


def newest(app: InProcessService) -> Job:
    (ids,) = [[path.name for path in app.spool.root.iterdir() if path.is_dir()]]
    rows = [row for one in ids if (row := app.store.get(one)) is not None]
    return max(rows, key=lambda row: row.created)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", PERMITTED)
def test_a_job_gets_what_its_client_asks_for_within_the_range(
    app: InProcessService, face: Callable[..., TestResponse], name: str
) -> None:
    app.heartbeat()
    good, bad, told = PERMITTED[name]
    answer = face(app, name, good)
    assert answer.status_code in (200, 201, 303), answer.text
    row = newest(app)
    need = needs.of_job(app.settings, row).resources
    field = name.removeprefix("hpc_")
    assert str(getattr(need, field)) == good
    answer = face(app, name, bad)
    assert answer.status_code == 400
    assert newest(app) == row, "a refused job left something"
    assert name in answer.text
    assert told in answer.text or face is form, answer.text
    assert f"{bad} is not permitted" in answer.text or face is form, answer.text
    if face in (wps1, kvp, second):
        report = etree.fromstring(answer.data)[0]
        assert (report.get("exceptionCode"), report.get("locator")) == (
            "InvalidParameterValue",
            name,
        )


def processes(app: InProcessService) -> Any:
    return app.web.application.processes


EDGES = {
    "hpc_cpus": (("1", "16", "16.0"), ("0", "17", "-1", "1.5", "four", "nan", "1e3", "")),
    "hpc_memory": (("1024", "65536"), ("1023", "65537", "2G")),
    "hpc_walltime": (("60", "7200"), ("59", "7201", "00:02:00")),
    "hpc_queue": (("short", "long"), ("Short", " short", "short,long", "")),
}


@pytest.mark.parametrize("name", EDGES)
def test_both_ends_of_the_range_are_in_it_and_nothing_beyond_is(
    app: InProcessService, name: str
) -> None:
    process = processes(app)[PROCESS]

    def take(value: Any, **more: Any) -> dict[str, int | str]:
        given = {"data": value, **more}
        return requested.take(app.settings, process, SimpleNamespace(inputs={name: [given]}))

    inside, outside = EDGES[name]
    for value in inside:
        kept = value if name == "hpc_queue" else int(float(value))
        assert take(value) == {name.removeprefix("hpc_"): kept}
    for value in outside:
        with pytest.raises(InvalidParameterValue) as refused:
            take(value)
        assert f"input {name}: {value or 'its value'} is not permitted" in str(refused.value)
        assert PERMITTED[name][2] in str(refused.value)


@pytest.mark.parametrize("value", ["9" * 65, "4\n", None, [4], {"a": 1}], ids=repr)
def test_a_message_does_not_repeat_what_is_long_or_no_literal(
    app: InProcessService, value: Any
) -> None:
    sent = SimpleNamespace(inputs={"hpc_queue": [{"data": value}]})
    with pytest.raises(InvalidParameterValue, match="input hpc_queue: its value is not permitted"):
        requested.take(app.settings, processes(app)[PROCESS], sent)


def test_the_form_says_what_is_permitted(app: InProcessService) -> None:
    page = form(app, "hpc_cpus", "400").text
    assert re.search(r"from 1 to 16|1 to 16|at most 16", page), page


def test_they_never_reach_the_process(app: InProcessService) -> None:
    app.heartbeat()
    assert wps1(app, "hpc_cpus", "4").status_code == 200
    job = app.spool.open(newest(app).id)
    _, body = dump.unpack_header(dump.read(job.dump, newest(app).digest))
    content = dump.load(body)
    assert list(content["request"].inputs) == ["text"]
    assert [item.identifier for item in content["process"].inputs] == ["text"]


def test_they_are_described_where_they_are_enabled_only(app: InProcessService) -> None:
    first = "/wps?service=WPS&version=1.0.0&request=DescribeProcess&identifier="
    two = "/wps?service=WPS&version=2.0.0&request=DescribeProcess&identifier="
    for place in (first, two, "/processes/", "/ui/processes/"):
        told = app.web.get(place + PROCESS).text
        for name in PERMITTED:
            assert name in told, (place, name)
        assert "16" in told, place
        assert "hpc_" not in app.web.get(f"{place}joined").text, place
    schema = json.loads(app.web.get(f"/processes/{PROCESS}").text)["inputs"]["hpc_cpus"]
    assert (schema["schema"]["minimum"], schema["schema"]["maximum"]) == (1, 16)
    assert schema["minOccurs"] == 0


@pytest.mark.parametrize("face", [wps1, kvp, second, ogc])
def test_where_it_is_not_enabled_there_is_no_such_input(
    app: InProcessService, face: Callable[..., TestResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "PROCESS", "joined")
    answer = face(app, "hpc_cpus", "4")
    assert answer.status_code == 400
    assert "hpc_cpus" in answer.text


def test_a_rule_counts_the_inputs_and_stays_within_its_bound(app: InProcessService) -> None:
    app.heartbeat()
    row = app.row(app.accept(PROCESS, [("text", "a" * (1 << 20))]))
    assert row.input_size == 1 << 20
    assert needs.of_job(app.settings, row).resources.memory == 2048 + 3
    asked = app.row(app.accept(PROCESS, [("text", "a" * 1024), ("hpc_memory", "3000")]))
    assert needs.of_job(app.settings, asked).resources.memory == 3000
    huge = needs.scaled(app.settings.for_process(PROCESS).resources, 1 << 40)
    assert huge.memory == 8192


def test_a_processs_own_input_of_that_name_stays_its_own(app: InProcessService) -> None:
    from pywps import LiteralInput, Process

    own = Process(lambda *_: None, PROCESS, "p", inputs=[LiteralInput("hpc_cpus", "Its own")])
    shown = requested.described(app.settings, own)
    assert [item.title for item in shown.inputs if item.identifier == "hpc_cpus"] == ["Its own"]

    sent = {"hpc_cpus": [{"data": "400"}]}
    request = SimpleNamespace(inputs=sent)
    assert "cpus" not in requested.take(app.settings, own, request)
    assert request.inputs == sent


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    folder = tmp_path_factory.mktemp("paying")
    sections = owner_sections(folder)
    sections["hpc"]["command_timeout"] = 2
    sections["hpc.owner.alice"]["max_memory"] = "1G"
    sections["hpc.owner.dora"] = {"account": "rivers", "max_active": 1}
    sections["hpc.resources"] = RESOURCES | {"memory": "512M", "account": "common"}
    with open_service(folder, **sections) as found:
        found.heartbeat()
        yield found


def account_of(app: InProcessService, answer: TestResponse) -> str:
    assert answer.status_code in (200, 201, 303), answer.text
    return needs.of_job(app.settings, newest(app)).resources.account


@pytest.mark.parametrize("face", FACES)
def test_each_owner_pays_from_his_own_account(
    paying: InProcessService, face: Callable[..., TestResponse]
) -> None:
    paying.heartbeat()
    for user, account in (("alice", "climate"), ("bob@site.org", "oceans"), ("carol", "glaciers")):
        assert account_of(paying, face(paying, "hpc_cpus", "2", user)) == account


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("user", ["mallory", ""])
def test_nobody_sends_a_job_that_nobody_pays_for(
    paying: InProcessService, face: Callable[..., TestResponse], user: str
) -> None:
    paying.heartbeat()
    before = newest(paying)
    answer = face(paying, "hpc_cpus", "2", user)
    assert answer.status_code == 403, answer.text
    assert "account" in answer.text
    assert newest(paying) == before


def test_an_owners_limits_hold_for_what_he_asks_for(paying: InProcessService) -> None:
    paying.heartbeat()
    answer = wps1(paying, "hpc_cpus", "9", "alice")
    assert (answer.status_code, "1 to 8" in answer.text) == (400, True)
    answer = wps1(paying, "hpc_queue", "long", "bob@site.org")
    assert (answer.status_code, "one of: short" in answer.text) == (400, True)
    assert wps1(paying, "hpc_cpus", "2", "dora").status_code == 200
    answer = wps1(paying, "hpc_cpus", "2", "dora")
    assert (answer.status_code, "your account reached (1)" in answer.text) == (503, True)


@pytest.mark.parametrize("user", ["slow", "loud", "wrong", "broken"])
def test_a_command_that_does_not_tell_is_bounded_and_refuses(
    paying: InProcessService, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    paying.heartbeat()
    begun = time.monotonic()
    answer = wps1(paying, "hpc_cpus", "2", user)
    assert time.monotonic() - begun < 20
    assert answer.status_code == 503
    assert "project-of" not in answer.text
    assert "[hpc] owner_command: " in caplog.text


def test_the_file_is_read_anew_and_the_command_is_remembered(paying: InProcessService) -> None:
    paying.heartbeat()
    file = paying.settings.owners_file
    assert file is not None
    file.write_text("[bob@site.org]\naccount = lakes\nqueue = short\n[erin]\naccount = dunes\n")
    assert account_of(paying, wps1(paying, "hpc_cpus", "2", "erin")) == "dunes"
    assert account_of(paying, wps1(paying, "hpc_cpus", "2", "bob@site.org")) == "lakes"
    for _ in range(3):
        account_of(paying, wps1(paying, "hpc_cpus", "2", "carol"))
    assert (file.parent / "asked").read_text().split().count("carol") == 1


def test_a_client_names_no_account(paying: InProcessService) -> None:
    paying.heartbeat()
    for name in ("account", "hpc_account", "hpc_qos"):
        assert wps1(paying, name, "climate", "bob@site.org").status_code == 400
