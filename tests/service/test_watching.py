"""A real Prometheus scrapes a real service: every query of the dashboard has an answer, every alert
fires when it should, and log lines are data."""

from __future__ import annotations

import json
import math
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import wps_client as client
from places import ROOT
from servers import HTTP, HpcServer, free_port, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.batch_system("none")]

#: Two jobs, the second of which fails.
JOBS = {"repeat_2": [("text", "a")], "process_error": []}
MONITORING = ROOT / "monitoring"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_every_alert_is_tried_and_none_fires_of_a_service_that_is_well() -> None:
    alerts = (MONITORING / "alerts.yml").read_text(encoding="utf-8").split("- alert: ")[1:]
    tried = (MONITORING / "alerts.test.yml").read_text(encoding="utf-8")
    for name in (text.split()[0] for text in alerts):
        assert tried.count(f"alertname: {name}\n") == 2, name  # it fires, and does not
    ended = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"web": free_port(), "dispatcher": free_port()}


@pytest.fixture(scope="module")
def hpc(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[HpcServer]:
    sections = {"hpc.metrics": ports, "hpc": {"log_format": "json"}}
    with HpcServer(tmp_path_factory.mktemp("watched"), sections=sections) as server:
        yield server


class Prometheus:
    """The real one, as monitoring/prometheus.yml configures it, but in a hurry."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        config = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
        for before, after in (
            ("9464", str(ports["web"])),
            ("9465", str(ports["dispatcher"])),
            ("15s", "1s"),
            ("- alerts.yml", f"- {MONITORING / 'alerts.yml'}"),
        ):
            assert before in config
            config = config.replace(before, after)
        file = folder / "prometheus.yml"
        file.write_text(config, encoding="utf-8")
        self._port, self._log = free_port(), folder / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={file}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The answer to a query, as it is now; none while it starts."""
        try:
            url = f"http://127.0.0.1:{self._port}/api/v1/query"
            answer = HTTP.get(url, params={"query": query}, timeout=10).json()
        except (OSError, ValueError):
            return []
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def await_values(self, query: str, expected: list[float]) -> None:
        """Wait until a query has exactly these values: what a service has counted is known here
        only when it has been scraped again."""
        found: list[float] = []

        def are_found() -> bool:
            found[:] = [float(one["value"][1]) for one in self.ask(query)]
            return found == expected

        try:
            wait_for(are_found, query, 20)
        except AssertionError:
            raise AssertionError(f"{query}: {found}, not {expected}") from None

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def prometheus(tmp_path: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    started = Prometheus(tmp_path, ports)
    yield started
    started.stop()


def told(port: int, path: str) -> str:
    """What the service itself answers here; nothing while it does not."""
    try:
        return HTTP.get(f"http://127.0.0.1:{port}{path}", timeout=10).text
    except OSError:
        return ""


def work(hpc: HpcServer) -> None:
    """Two jobs, one of which fails, and a request that is turned away."""
    locations = [client.submit(hpc.url, name, given) for name, given in JOBS.items()]
    for location in locations:
        client.await_end(location)
    assert hpc.cli("drain").returncode == 0
    document = client.execute_document("repeat_2", [("text", "a")], asynchronous=True)
    assert client.send(hpc.url, document).status == 503
    assert hpc.cli("undrain").returncode == 0


def test_every_query_of_the_dashboard_returns_data(
    hpc: HpcServer, prometheus: Prometheus, ports: dict[str, int]
) -> None:
    work(hpc)  # before it is scraped: a rate is told of what was there before

    def answered() -> bool:
        return len(prometheus.ask('sum_over_time(up{job=~"pywps-hpc-.*"}[1m]) >= 2')) == 2

    wait_for(answered, "both parts are scraped twice", 30)
    work(hpc)
    # The service has counted it by the time that the client has its answer, whichever worker
    # refused and whichever is asked; Prometheus knows of it when it has asked again.
    assert 'pywps_hpc_refusals_total{reason="drained"} 2.0\n' in told(ports["web"], "/metrics")

    def without_data() -> list[str]:
        left = []
        for query in QUERIES:
            found = prometheus.ask(query.replace("$__rate_interval", "1m"))
            if not any(math.isfinite(float(one["value"][1])) for one in found):
                left.append(query)
        return left

    try:
        wait_for(lambda: not without_data(), "every query has data", 20)
    except AssertionError:
        raise AssertionError(without_data()) from None
    assert prometheus.ask('max(pywps_hpc_jobs{process="repeat_2",state="succeeded"})') != []
    for counted in (
        'pywps_hpc_jobs_ended_total{state="failed",cause="process"}',
        'pywps_hpc_refusals_total{reason="drained"}',
    ):
        prometheus.await_values(counted, [2.0])
    assert prometheus.ask('ALERTS{alertstate="firing"}') == []


def test_metrics_and_structured_logs_go_on_after_a_reload(
    hpc: HpcServer, ports: dict[str, int]
) -> None:
    (root,) = (one for one in hpc.started if one.poll() is None)
    before = hpc.read_log().count('"leads"') + hpc.read_log().count(": leads")
    psutil.Process(root.pid).send_signal(signal.SIGHUP)
    wait_for(lambda: '"message": "reloaded"' in hpc.read_log(), "the web server has reloaded")
    wait_for(lambda: hpc.read_log().count(": leads") > before, "the dispatcher has restarted")
    for port in ports.values():
        wait_for(lambda port=port: "pywps_hpc_table_up 1.0" in told(port, "/metrics"), "metrics")
    assert json.loads(told(ports["dispatcher"], "/health/ready"))["ready"] is True
    location = client.submit(hpc.url, "repeat_2", [("text", "a")])
    client.await_end(location)
    job = hpc.id_of(location)

    def lines() -> list[dict[str, Any]]:
        whole = hpc.read_log().rpartition("\n")[0]  # the last line may not be written yet
        return [json.loads(line) for line in whole.splitlines()]

    def told_of_it() -> list[str]:
        return [one["message"] for one in lines() if one["job"] == job]

    # The client may see the end a moment before the dispatcher logs it.
    wait_for(lambda: told_of_it()[-1:] == ["succeeded"], "the job's end is logged", 20)
    assert told_of_it()[0].startswith("accepted, process repeat_2")
    assert {"gunicorn.error", "pywps_hpc.supervisor"} <= {one["logger"] for one in lines()}
