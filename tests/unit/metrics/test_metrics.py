"""What is measured, and that nothing is where nobody asks."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher_harness import DispatcherHarness
from fake_scheduler import DONE, RUNNING
from places import ROOT
from pywps_hpc import settings
from pywps_hpc.cli import watching
from pywps_hpc.dispatch.schedulers.base import SchedulerUnavailable
from pywps_hpc.jobs import Cause, State, drain
from pywps_hpc.jobs.leader import Reach
from pywps_hpc.metrics import endpoint, meters
from pywps_hpc.metrics.table import TableMetrics
from pywps_hpc.settings import readers
from pywps_hpc.settings.sections import Metrics
from pywps_hpc.timing import TIMING
from servers import free_port

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def harness(tmp_path: Path) -> DispatcherHarness:
    return DispatcherHarness(tmp_path)


@pytest.fixture
def measured() -> Iterator[None]:
    meters.start((*meters.WEB, *meters.DISPATCHER))
    yield
    meters.stop()


def samples(text: str) -> Found:
    """All samples by name and labels."""
    families = text_string_to_metric_families(text)
    return {
        (one.name.removeprefix("pywps_hpc_"), tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def get(port: int, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@contextlib.contextmanager
def answering(collector: Any, **probes: endpoint.Probe) -> Iterator[int]:
    port = free_port()
    server = endpoint.answer(
        endpoint.listen("web", ("127.0.0.1", port)),
        collector,
        {f"/{name}": probe for name, probe in probes.items()},
    )
    yield port
    server.shutdown()
    server.server_close()


def test_the_table_tells_jobs_by_process_and_state_and_how_the_service_is(
    harness: DispatcherHarness, measured: None
) -> None:
    store = harness.store
    now = time.time()
    for number, state in enumerate((State.ACCEPTED, State.ACCEPTED, State.RUNNING, State.FAILED)):
        process = "p" if number else "q"
        harness.accept(process=process, state=state, created=now - 100 + number, size=number)
    assert store.lead("somebody", 3600, reach=Reach("local", True))
    drain.begin(store, drain.Drain("m"))
    with answering(TableMetrics(harness.settings, store)) as port:
        code, text = get(port, "/metrics")
    assert code == 200
    found = samples(text)
    assert found["jobs", (("process", "p"), ("state", "accepted"))] == 1
    assert found["jobs", (("process", "q"), ("state", "accepted"))] == 1
    assert found["jobs", (("process", "p"), ("state", "failed"))] == 1
    assert 100 <= found["dispatcher_lag_seconds", ()] < 130
    assert found["oldest_queued_seconds", ()] == 0
    assert found["table_up", ()] == found["dispatcher_alive", ()] == 1
    assert found["batch_system_reachable", ()] == found["drained", ()] == 1
    assert found["spool_ended_bytes", ()] == 3
    assert 0 < found["spool_free_bytes", ()] <= found["spool_size_bytes", ()]
    assert found["refusals_total", (("reason", "limit"),)] == 0


def test_a_table_that_does_not_answer_is_told_and_nothing_else_of_it(
    harness: DispatcherHarness,
) -> None:
    harness.store.engine.dispose()
    broken = replace(harness.settings, database="postgresql+psycopg://x@127.0.0.1:1/x")
    from pywps_hpc.jobs import JobStore

    found = TableMetrics(broken, JobStore(broken.database_url, 2)).collect()
    told = {family.name: family.samples[0].value for family in found}
    assert told["pywps_hpc_table_up"] == 0
    assert "pywps_hpc_jobs" not in told
    assert "pywps_hpc_spool_free_bytes" in told


def test_many_scrapes_ask_the_table_once(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    count = harness.store.count_by_process
    monkeypatch.setattr(harness.store, "count_by_process", lambda: asked.append(1) or count())
    seldom = TableMetrics(harness.settings, harness.store)
    for _ in range(5):
        seldom.collect()
    assert len(asked) == 1
    always = replace(TIMING, scrape_kept=0.0, scrape_share=0.0)
    often = TableMetrics(harness.settings, harness.store, always)
    for _ in range(5):
        often.collect()
    assert len(asked) == 6


def told(name: str, **labels: str) -> float:
    """What this process has measured."""
    sample = meters.registry().get_sample_value(f"pywps_hpc_{name}", labels)
    return 0.0 if sample is None else float(sample)


def test_the_dispatcher_measures_queue_run_polls_and_ends(
    harness: DispatcherHarness, measured: None
) -> None:
    seen, unseen = harness.queued(), harness.queued()
    harness.now += 40
    harness.scheduler.say(seen.native_id, RUNNING)
    harness.begin(seen)
    harness.cycle()
    assert told("queue_seconds_count", process="hello") == 1
    assert told("queue_seconds_bucket", process="hello", le="15.0") == 0
    for job in (seen, unseen):
        harness.succeed_in_queue(job)
    harness.cycle(later=10)
    assert told("queue_seconds_count", process="hello") == 2
    assert told("run_seconds_count", process="hello") == 2
    assert told("jobs_ended_total", process="hello", state="succeeded", cause="") == 2
    failed = harness.running()
    harness.fail(failed, "no such luck", "process")
    harness.scheduler.say(failed.native_id, DONE)
    harness.cycle(later=10)
    ended = {"process": "hello", "state": "failed", "cause": Cause.PROCESS.value}
    assert told("jobs_ended_total", **ended) == 1
    polls = told("poll_seconds_count")
    assert polls > 2
    harness.queued()

    def fails(*_: object) -> object:
        raise SchedulerUnavailable("no answer")

    harness.scheduler.poll = fails  # type: ignore[method-assign]
    harness.cycle()
    assert (told("poll_errors_total"), told("poll_seconds_count")) == (1, polls + 1)


def test_nothing_is_measured_or_imported_where_nobody_asks() -> None:
    code = (
        "import sys, pywps_hpc.cli, pywps_hpc.dispatch.dispatcher, pywps_hpc.web.application\n"
        "from pywps_hpc.metrics import meters\n"
        "meters.count(meters.REFUSALS, 'limit'); meters.observe(meters.ACCEPT, 1.0)\n"
        "assert not [name for name in sys.modules if name.startswith('prometheus')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_several_processes_are_added_up_and_whichever_answers_tells_all(
    harness: DispatcherHarness,
) -> None:
    """As web workers are: forked with a socket that is listened on."""
    code = f"""
import os, time
from pathlib import Path
from dataclasses import replace
from pywps_hpc import settings
from pywps_hpc.jobs import JobStore
from pywps_hpc.cli import watching
from pywps_hpc.metrics import meters
from pywps_hpc.settings.sections import Metrics
own = settings.Settings(spool=Path({str(harness.settings.spool)!r}),
    database={harness.settings.database!r}, metrics=Metrics(web=("127.0.0.1", PORT)))
with watching.web(own, JobStore(own.database_url)) as begin:
    print(os.environ[meters.SHARED], flush=True)
    for number in (1, 2, 3):
        if os.fork() == 0:
            begin()
            for _ in range(number):
                meters.count(meters.REFUSALS, "limit")
            meters.observe(meters.ACCEPT, number)
            os.write(1, b"up\\n")  # whole, whoever else writes
            if number == 3:
                os._exit(0)  # what one counted that is gone stays
            time.sleep(60)
    input()
"""
    port = free_port()
    line = [sys.executable, "-c", code.replace("PORT", str(port))]
    with subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as master:
        assert master.stdout is not None
        folder = Path(master.stdout.readline().strip())
        assert [master.stdout.readline() for _ in range(3)] == ["up\n"] * 3
        try:
            for _ in range(6):
                found = samples(get(port, "/metrics")[1])
                assert found["refusals_total", (("reason", "limit"),)] == 6
                assert found["accept_seconds_sum", ()] == 6
                assert found["table_up", ()] == 1
            assert folder.exists()
            master.communicate("\n", timeout=5)
        except subprocess.TimeoutExpired:
            pass  # its children have its output still
        finally:
            os.killpg(master.pid, 9)
    assert not folder.exists()


def test_other_paths_are_not_there_and_probes_tell_by_the_status(
    harness: DispatcherHarness,
) -> None:
    collector = TableMetrics(harness.settings, harness.store)
    well, ill = (lambda: (True, {"a": 1})), (lambda: (False, {"a": 2}))
    with answering(collector, well=well, ill=ill) as port:
        assert get(port, "/other")[0] == 404
        assert get(port, "/well") == (200, '{"a": 1}\n')
        assert get(port, "/ill") == (503, '{"a": 2}\n')


def test_documentation_dashboard_and_alerts_name_the_metrics_that_there_are(
    harness: DispatcherHarness,
) -> None:
    assert harness.store.lead("d", 3600)
    found = TableMetrics(harness.settings, harness.store).collect()
    known = {family.name.removeprefix(meters.PREFIX) for family in found}
    known |= {meter.name for meter in (*meters.WEB, *meters.DISPATCHER)}
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if "| both |" in line or "| web |" in line]
    rows += [line for line in page.splitlines() if "| dispatcher |" in line]
    told = {name for row in rows for name in re.findall(r"`([a-z_]+)", row.split("|")[1])}
    assert told == known
    for file in ("dashboard.json", "alerts.yml"):
        text = (ROOT / "monitoring" / file).read_text(encoding="utf-8")
        used = set(re.findall(rf"{meters.PREFIX}([a-z_]+)", text))
        assert {re.sub("_(bucket|sum|count)$", "", name) for name in used} <= known


def test_a_client_that_says_nothing_keeps_nobody_waiting(harness: DispatcherHarness) -> None:
    with answering(TableMetrics(harness.settings, harness.store)) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert get(port, "/metrics")[0] == 200
        for one in silent:
            one.close()


def test_a_dispatcher_tells_whether_it_is_well(harness: DispatcherHarness) -> None:
    port, turning = free_port(), [True]
    own = replace(harness.settings, metrics=Metrics(dispatcher=("127.0.0.1", port)))
    watching.dispatcher(own, harness.store, lambda: turning[0])
    try:
        assert get(port, "/health/live")[0] == 200
        code, text = get(port, "/health/ready")
        assert (code, json.loads(text)["message"]) == (503, "no dispatcher leads")
        assert harness.store.lead("d", 3600, "", Reach("slurm", True))
        assert get(port, "/health/ready")[0] == 200
        assert harness.store.lead("d", 3600, "cannot be reached", Reach("slurm", False))
        code, text = get(port, "/health/ready")
        assert (code, json.loads(text)["message"]) == (503, "cannot be reached")
        turning[0] = False
        assert get(port, "/health/live")[0] == 503
    finally:
        meters.stop()


def test_an_address_that_is_taken_is_named_with_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(settings.SettingsError, match=r"\[hpc.metrics\] web: .* in use"):
            endpoint.listen("web", address)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:81", ("::1", 81)),
        ("monitor.example.org:9", ("monitor.example.org", 9)),
    ],
)
def test_a_port_alone_is_one_of_this_host(text: str, address: tuple[str, int]) -> None:
    assert readers.listening(text) == address


@pytest.mark.parametrize("text", ["", "x", ":9464", "127.0.0.1:", "127.0.0.1:70000", "0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"port|whole number|no host"):
        readers.listening(text)
