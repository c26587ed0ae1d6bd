"""Every way in which a process can die: its user is told why, its server does not notice."""

from __future__ import annotations

import contextlib
import itertools
import os
import time

import psutil
import pytest

import wps_client as client
from joblauncher.shared.response import UNEXPLAINED
from servers import HpcServer, wait_for

#: Seconds within which a death must be told: the start of an interpreter, on a very busy machine.
SOON = 120.0
#: Process -> what the client reads, and what the job's log must hold for its author.
DEATHS = {
    "segfault": (
        "the process was killed by signal 11 (SIGSEGV: segmentation fault)",
        ("about to crash", "Fatal Python error: Segmentation fault", "odd_deaths.py"),
    ),
    "os_exit": (
        "the process ended with exit code 3 without reporting a result",
        ("about to leave",),
    ),
    "sigkill": (
        "the process was killed by signal 9 (SIGKILL: killed)",
        ("about to be killed",),
    ),
    "sys_exit": ("the process called sys.exit(4)", ("about to exit",)),
    "value_error": (
        UNEXPLAINED,
        ("ValueError: the third value is odd", "odd_deaths.py"),
    ),
    "process_error": (
        "Process error: The catchment has no outlet.",
        ("ProcessError", "odd_deaths.py"),
    ),
    "brief_error": (UNEXPLAINED, ("ProcessError", "odd_deaths.py")),
    "missing_module": (
        UNEXPLAINED,
        ("ModuleNotFoundError: No module named 'a_module_that_nobody_has'",),
    ),
}
SECTIONS = {
    "hpc.process.sleeper": {"walltime": "00:00:03"},
    "hpc.process.hungry": {"memory": "200M"},
}
#: How long to sleep: in each run of these tests other times, by which the sleepers are known.
_seconds = itertools.count(80_000 + os.getpid())


@pytest.fixture
def untouched(hpc_server: HpcServer) -> object:
    """The web server is afterwards what it was before: same workers, and it answers."""

    def all_begun() -> set[int]:
        workers = hpc_server.worker_pids()
        return workers if len(workers) == hpc_server.workers else set()

    before = wait_for(all_begun, "every worker runs", SOON)
    yield
    assert hpc_server.worker_pids() == before
    assert hpc_server.answers()


def await_row(server: HpcServer, job_id: str, state: str) -> None:
    """Wait until the job table says so, and nothing of any job is left running."""

    def is_over() -> bool:
        row = server.row(job_id)
        return row is not None and row["state"] == state

    wait_for(is_over, f"the job table says {state}", SOON)
    wait_for(lambda: not server.job_processes(), "nothing of the job runs", SOON)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("process", DEATHS)
def test_death_is_told_in_words_and_leaves_its_log(hpc_server: HpcServer, process: str) -> None:
    words, logged = DEATHS[process]
    location = client.submit(hpc_server.url, process)
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessFailed"
    assert client.message_of(document) == words
    job_id = hpc_server.id_of(location)
    await_row(hpc_server, job_id, "failed")
    assert client.get(location).content == document
    shown = hpc_server.cli("show", job_id)
    assert shown.returncode == 0, shown.stderr
    assert "failed" in shown.stdout
    assert words in shown.stdout
    log = hpc_server.cli("log", job_id)
    assert log.returncode == 0, log.stderr
    assert [line for line in logged if line not in log.stdout] == [], log.stdout


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("process", DEATHS)
def test_client_that_waits_is_told_the_same(hpc_server: HpcServer, process: str) -> None:
    begun = time.monotonic()
    answer = client.execute_sync(hpc_server.url, process)
    assert time.monotonic() - begun < SOON
    assert client.state_of(answer.content) == "ProcessFailed"
    assert client.message_of(answer.content) == DEATHS[process][0]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("process", ["segfault", "process_error", "value_error"])
def test_client_that_wants_raw_output_is_told_the_same(hpc_server: HpcServer, process: str) -> None:
    answer = client.execute_raw(hpc_server.url, process, (), client.Output("result"))
    assert answer.status == 400
    assert DEATHS[process][0] in client.exception_of(answer.content)


@pytest.mark.usefixtures("untouched")
def test_child_that_is_left_behind_is_ended(hpc_server: HpcServer) -> None:
    seconds = f"{float(next(_seconds))}"
    location = client.submit(hpc_server.url, "leaves_child", [("seconds", seconds)])
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessSucceeded"

    def orphans() -> list[psutil.Process]:
        return [
            p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", seconds]
        ]

    wait_for(lambda: not orphans(), "the child that was left behind ends", SOON)
    await_row(hpc_server, hpc_server.id_of(location), "succeeded")


@pytest.mark.usefixtures("untouched")
def test_a_copy_that_a_process_forks_tells_nothing_of_the_job(hpc_server: HpcServer) -> None:
    answer = client.execute_sync(hpc_server.url, "forks")
    assert client.outputs_of(answer.content)["result"].content == "[0, 1, 3]"


def test_job_that_reaches_its_time_limit_says_so(hpc_server: HpcServer) -> None:
    location = client.submit(hpc_server.url, "sleeper", [("seconds", "600")])
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessFailed"
    await_row(hpc_server, hpc_server.id_of(location), "failed")
    final = client.get(location).content
    assert client.message_of(final) == "killed: time limit 00:00:03 reached"


@pytest.mark.usefixtures("untouched")
def test_job_that_needs_too_much_memory_says_so(hpc_server: HpcServer) -> None:
    location = client.submit(hpc_server.url, "hungry", [("mebibytes", "400")])
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessFailed"
    await_row(hpc_server, hpc_server.id_of(location), "failed")
    final = client.get(location).content
    assert client.message_of(final).startswith("killed: used more than the 200 MB asked for")


def await_words(server: HpcServer, job_id: str, words: str) -> None:
    """Wait until the process has said so, and the job table knows that it runs."""
    log = server.job(job_id).log
    wait_for(lambda: log.exists() and words in log.read_text(), f"it says: {words}", SOON)

    def runs() -> bool:
        row = server.row(job_id)
        return row is not None and row["state"] == "running"

    wait_for(runs, "the job table says running", SOON)


def job_parts(server: HpcServer, job_id: str) -> dict[str, list[psutil.Process]]:
    """The processes of a running job: its launcher, the local scheduler's supervisor, and all."""
    row = server.row(job_id)
    assert row is not None
    lines = {process: " ".join(process.cmdline()) for process in server.job_processes()}
    own = [process for process, line in lines.items() if job_id in line]
    supervisor = [p for p, line in lines.items() if f"/queue/{row['native_id']}" in line]
    # The interpreter of the process itself is a child of the launcher, with the same command line.
    launcher = [process for process in own if process.parent() not in own]
    below = [child for process in own for child in process.children(recursive=True)]
    return {
        "launcher": launcher,
        "supervisor": supervisor,
        "everything": [*supervisor, *own, *below],
    }


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("victim", ["launcher", "everything", "supervisor"])
def test_job_that_is_killed_from_outside_is_told_as_failed_and_gone(
    hpc_server: HpcServer, victim: str
) -> None:
    # Nobody is left on the node to write a document: only the batch system knows.
    location = client.submit(hpc_server.url, "leaves_and_waits", [("seconds", str(next(_seconds)))])
    job_id = hpc_server.id_of(location)
    await_words(hpc_server, job_id, "waits with a child")
    assert client.state_of(client.get(location).content) == "ProcessStarted"
    groups = job_parts(hpc_server, job_id)
    assert [len(groups[name]) for name in ("launcher", "supervisor")] == [1, 1]
    for process in groups[victim]:
        with contextlib.suppress(psutil.NoSuchProcess):  # it follows its parent
            process.kill()
    document = client.await_end(location, limit=SOON)
    assert client.state_of(document) == "ProcessFailed"
    if victim == "launcher":
        assert client.message_of(document) == "killed by signal 9 (SIGKILL: killed)"
    else:
        words = "ended for a reason that the batch system does not give"
        assert client.message_of(document).startswith(words)
    await_row(hpc_server, job_id, "failed")
    assert "waits with a child" in hpc_server.cli("log", job_id).stdout


@pytest.mark.usefixtures("untouched")
def test_text_that_xml_cannot_hold_does_not_break_the_document(hpc_server: HpcServer) -> None:
    document = client.execute_async(hpc_server.url, "bell")
    assert client.state_of(document) == "ProcessSucceeded"
    assert client.outputs_of(document)["result"].content == "a\ufffdb"


@pytest.mark.usefixtures("untouched")
def test_raw_output_that_does_not_exist_is_refused_in_words(hpc_server: HpcServer) -> None:
    answer = client.execute_raw(
        hpc_server.url, "repeat_2", [("text", "a")], client.Output("nothing")
    )
    assert answer.status == 400  # told before anything runs
    assert "nothing" in client.exception_of(answer.content)
    assert hpc_server.answers()


@pytest.mark.usefixtures("untouched")
def test_process_that_cannot_be_sent_is_refused_and_leaves_nothing(hpc_server: HpcServer) -> None:
    before = set(hpc_server.spool.job_ids())
    answer = client.send(hpc_server.url, client.execute_document("unsendable", asynchronous=True))
    assert answer.status == 500
    assert "cannot be serialised for the batch system" in client.exception_of(answer.content)
    assert set(hpc_server.spool.job_ids()) == before
