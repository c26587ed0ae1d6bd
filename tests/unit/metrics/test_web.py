"""What the web server measures, and whether it says that it is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import wps2_client as wps2
import wps_client as client
from in_process_service import InProcessService, open_service
from pywps_hpc.errors import TableUnavailable
from pywps_hpc.jobs import drain
from pywps_hpc.metrics import meters


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InProcessService]:
    meters.start(meters.WEB)
    with open_service(tmp_path, hpc={"max_active": 2}) as app:
        yield app
    meters.stop()


def told(name: str, **labels: str) -> float:
    return float(meters.registry().get_sample_value(f"pywps_hpc_{name}", labels) or 0.0)


def send(app: InProcessService, face: str) -> int:
    if face == "ogcapi":
        asked = {"Prefer": "respond-async"}
        content = {"inputs": {"text": "a"}}
        return app.web.post(
            "/processes/repeat_2/execution", json=content, headers=asked
        ).status_code
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    if face == "wps2":
        literal, output = wps2.literal("text", "a"), wps2.output("result")
        document = wps2.execute_document("repeat_2", [literal], [output], mode="async")
    return app.web.post("/wps", data=document, content_type="text/xml").status_code


@pytest.mark.parametrize("face", ["wps1", "wps2", "ogcapi"])
def test_refusals_are_counted_by_their_reason_whichever_face_tells_them(
    app: InProcessService, face: str
) -> None:
    assert send(app, face) == 503
    assert told("refusals_total", reason="dispatcher") == 1
    app.heartbeat()
    drain.begin(app.store, drain.Drain())
    assert send(app, face) == 503
    assert told("refusals_total", reason="drained") == 1
    drain.end(app.store)
    for _ in range(2):
        assert send(app, face) in (200, 201)
    assert told("accept_seconds_count") == 2
    assert send(app, face) == 503
    assert told("refusals_total", reason="limit") == 1
    (app.spool.root / "spool.id").unlink()
    assert send(app, face) == 503
    assert told("refusals_total", reason="storage") == 1
    assert sum(told("refusals_total", reason=reason) for reason in meters.REASONS) == 4


def ready(app: InProcessService) -> tuple[int, bool, str]:
    answer = app.web.get("/health/ready")
    facts = json.loads(answer.text)
    assert facts["ready"] == (answer.status_code == 200)
    return answer.status_code, facts["accepts_jobs"], facts["message"]


def test_a_web_server_is_ready_while_it_can_show_jobs(
    app: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ready(app) == (200, False, "Jobs cannot be run now: the dispatcher is not running.")
    app.heartbeat()
    assert ready(app) == (200, True, "")
    drain.begin(app.store, drain.Drain("until noon"))
    code, accepts, message = ready(app)
    assert (code, accepts) == (200, False)
    assert "until noon" in message
    drain.end(app.store)

    def fails(*_: object) -> str:
        raise TableUnavailable("no server at db.example.org")

    with monkeypatch.context() as patch:
        patch.setattr(type(app.store), "fact", fails)
        assert ready(app) == (503, False, "The service cannot reach its jobs now.")
    (app.spool.root / "spool.id").unlink()
    code, accepts, message = ready(app)
    assert (code, accepts) == (503, False)
    assert str(app.spool.root) not in message
    assert sum(told("refusals_total", reason=reason) for reason in meters.REASONS) == 0
    answer = app.web.get("/health/live")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert app.web.post("/health/live").status_code == 405
