"""How the service starts, reloads and stops: one line for a mistake, patience with an accident."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

import wps_client as client
from pywps_hpc import supervisor
from pywps_hpc.settings import SettingsError, load_to_run
from pywps_hpc.settings.checks import host
from servers import HTTP, SERVICES, HpcServer, Part, free_port, wait_for, write_config
from wps_client import state_of
from wsgi_inside import build

SOON = 60.0


def ends(
    folder: Path,
    *arguments: str,
    application: str = "odd:service",
    command: str = "serve",
    **sections: dict[str, object] | None,
) -> str:
    """The last line of a command that ends by itself, with exit code 1 and without a traceback."""
    port = free_port()
    config = write_config(folder, f"http://127.0.0.1:{port}/wps", **sections)
    bind = [] if "--bind" in arguments else ["--bind", f"127.0.0.1:{port}"]
    line = [sys.executable, "-m", "pywps_hpc", command, application, "--config", str(config)]
    ended = subprocess.run(
        [*line, *bind, *arguments],
        capture_output=True,
        text=True,
        timeout=SOON,
        cwd=SERVICES,
        env=os.environ | {"ODD_WORD": "forty", "RELOADABLE": str(folder / "reloadable")},
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    errors = [text for text in ended.stderr.splitlines() if text.startswith("Error: ")]
    assert len(errors) == 1, ended.stderr
    return errors[0]


# Mistakes end it


def test_a_port_that_somebody_else_has_ends_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        told = ends(tmp_path, "--bind", bind)
    assert told == f"Error: --bind {bind}: Address already in use"


@pytest.mark.parametrize(
    ("bind", "problem"),
    [
        ("127.0.0.1", "is not HOST:PORT"),
        ("127.0.0.1:99999", "is not HOST:PORT"),
        ("127.0.0.1:http", "is not HOST:PORT"),
        ("192.0.2.1:5000", "Cannot assign requested address"),
        ("no.such.host.invalid:5000", "Name or service not known|name resolution"),
        ("unix:/nowhere/socket", "its folder is not writable"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named(bind: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"--bind {re.escape(bind)}: .*({problem})"):
        host.check_address(bind)


def test_an_address_that_can_be_listened_on_is_left_alone() -> None:
    for bind in (f"127.0.0.1:{free_port()}", f"[::1]:{free_port()}", f":{free_port()}"):
        host.check_address(bind)
        host.check_address(bind)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"processing": {"mode": "default"}}, "[processing] mode: must be scheduler"),
        ({"processing": None}, "[processing] mode: must be scheduler"),
        ({"logging": {"file": "/nowhere/pywps.log"}}, "[logging] file: /nowhere/pywps.log: No"),
        ({"logging": {"level": "LOUD"}}, "[logging] level: 'LOUD' is not a level"),
        ({"metadata:main": {"identification_title": "100 % free"}}, "identification_title: a '%'"),
        ({"server": {"maxrequestsize": "%(absent)s"}}, "[server] maxrequestsize: a '%'"),
        ({"server": {"maxrequestsize": "much"}}, "[server] maxrequestsize: 'much' is not a size"),
        ({"hpc": {"database": "sqlite:////nowhere/jobs.sqlite"}}, "[hpc] database: there is no"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "web"])
def test_a_configuration_that_cannot_work_ends_the_start_with_its_key(
    tmp_path: Path, command: str, sections: dict[str, dict[str, object] | None], told: str
) -> None:
    assert told in ends(tmp_path, command=command, **sections)


@pytest.mark.parametrize(
    ("application", "code", "told"),
    [
        (
            "nonsense:service",
            "",
            "nonsense:service cannot be imported: there is no module nonsense",
        ),
        ("odd:nonsense", "", "odd:nonsense cannot be imported: "),
        ("odd", "", "odd cannot be imported: "),
        (
            "reloadable:service",
            "raise the data are not here",
            "reloadable:service cannot be imported: RuntimeError: the data are not here",
        ),
    ],
)
def test_an_application_that_cannot_be_imported_ends_the_start(
    tmp_path: Path, application: str, code: str, told: str
) -> None:
    (tmp_path / "reloadable").write_text(code)
    assert told in ends(tmp_path, application=application)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that may not write")
def test_a_spool_that_cannot_be_written_to_ends_the_start(open_folder: Path) -> None:
    config = write_config(open_folder, "http://127.0.0.1:9/wps", user="nobody")
    spool = open_folder / "spool"
    os.chown(spool, 65534, 65534)
    spool.chmod(0o700)
    os.seteuid(65534)
    try:
        load_to_run(config)
        file = spool / "jobs.sqlite"
        file.touch(mode=0o400)
        with pytest.raises(SettingsError, match=rf"\[hpc\] database: {file} is not writable"):
            load_to_run(config)
        file.unlink()
        spool.chmod(0o500)
        with pytest.raises(SettingsError, match=r"\[hpc\] spool: .* has mode 0500"):
            load_to_run(config)
    finally:
        os.seteuid(0)


# Accidents do not


def test_the_pause_before_another_start_grows_and_begins_anew_after_a_long_life() -> None:
    child, pauses = supervisor.Child("web server", []), []
    for _ in range(8):
        child.begun = time.monotonic()
        child.start_later(1)
        pauses.append(child.due - time.monotonic())
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60]
    child.begun = time.monotonic() - 100
    child.start_later(-9)
    assert round(child.due - time.monotonic()) == 1


def test_a_worker_that_imports_is_neither_killed_nor_doubled(tmp_path: Path) -> None:
    """However short gunicorn's own patience is."""
    (tmp_path / "reloadable").write_text("sleep 4")
    server = Reloadable(tmp_path)
    impatient = "import gunicorn.config as c; c.Timeout.default = 1; "
    server.web = [
        *(sys.executable, "-c", f"{impatient}from pywps_hpc.cli import main; main()"),
        *("web", "reloadable:service", "--config", "{config}", "--bind", "127.0.0.1:{port}"),
    ]
    with server:
        assert server.read_log().count("Booting worker") == 2
        assert "WORKER TIMEOUT" not in server.read_log()


# Reloading


@dataclass
class Reloadable(HpcServer):
    """A server whose application a test can change."""

    application: str = "reloadable:service"

    def __post_init__(self) -> None:
        self.code_file = self.folder / "reloadable"
        if not self.code_file.exists():
            self.code_file.write_text("")
        self.environment = {**self.environment, "RELOADABLE": str(self.code_file)}
        self.sections = {**self.sections, "logging": {"file": self.folder / "pywps.log"}}
        super().__post_init__()
        self.text = self.config.read_text()

    @property
    def root(self) -> psutil.Process:
        """The supervisor."""
        (root,) = self._roots()
        return root

    def reload(self, told: str = "server.master: reloaded") -> None:
        """SIGHUP, and wait until the log says how that went."""
        before = self.read_log().count(told)
        self.root.send_signal(signal.SIGHUP)
        wait_for(lambda: self.read_log().count(told) > before, told, SOON)

    def settle(self) -> None:
        """Wait until no reload is under way."""
        before: set[int] = set()
        while len(now := self.worker_pids()) != 2 or now != before:
            before = now
            time.sleep(1)

    def title(self) -> str:
        """The service's title, which PyWPS reads from its configuration."""
        query = {"service": "WPS", "request": "GetCapabilities"}
        found = re.search(r"<ows:Title>(.*?)</ows:Title>", HTTP.get(self.url, params=query).text)
        assert found
        return found[1]

    def leads(self) -> str:
        leader = self.leader()
        return str(leader["holder"]) if leader else ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloadable]:
    with Reloadable(tmp_path_factory.mktemp("reloadable")) as started:
        yield started


@pytest.fixture(autouse=True)
def put_back(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        running: Reloadable = request.getfixturevalue("server")
        running.config.write_text(running.text)
        running.code_file.write_text("")
        running.settle()


class Polling:
    """Clients that ask one request after the other, and count what goes wrong."""

    def __init__(self, url: str, kept: bool) -> None:
        self.asked, self.trouble = 0, list[str]()
        self._url, self._kept, self._stop = url, kept, threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def _poll(self) -> None:
        session: requests.Session = requests.Session() if self._kept else HTTP
        session.trust_env = False
        while not self._stop.is_set():
            try:
                answer = session.get(f"{self._url}?service=WPS&request=GetCapabilities", timeout=30)
                if answer.status_code != 200:
                    self.trouble.append(f"HTTP {answer.status_code}")
            except requests.RequestException as error:
                self.trouble.append(repr(error))
            self.asked += 1

    def __enter__(self) -> Polling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)


def test_a_reload_takes_the_new_settings_and_nobody_notices(server: Reloadable) -> None:
    leader, workers = server.leads(), server.worker_pids()
    supervisor, dispatcher = server.root.pid, server.part("dispatcher").pid
    location = client.submit(server.url, "sleeper", [("seconds", "6")])
    waiting = _in_thread(lambda: client.execute_sync(server.url, "sleeper", [("seconds", "5")]))
    wait_for(lambda: [row["state"] for row in server.rows()] == ["running"] * 2, "both run")
    changed = server.text.replace("Odd processes", "Even processes")
    shorter = "[hpc.process.sleeper]\nwalltime = 00:00:02\n"  # that is the dispatcher's to tell
    server.config.write_text(f"{changed}\n{shorter}")
    with Polling(server.url, False) as one, Polling(server.url, True) as other:
        server.reload()
        server.root.send_signal(signal.SIGHUP)
        server.root.send_signal(signal.SIGHUP)
        wait_for(lambda: server.title() == "Even processes", "the new title")
        time.sleep(4)
    assert (one.trouble, other.trouble) == ([], [])
    assert one.asked > 5 < other.asked
    assert b"ProcessSucceeded" in waiting().content
    assert state_of(client.await_end(location)) == "ProcessSucceeded"
    wait_for(lambda: not workers & server.worker_pids(), "the old workers have left", SOON)
    assert (server.root.pid, server.part("dispatcher").pid) == (supervisor, dispatcher)
    assert server.leads() == leader
    again = client.await_end(client.submit(server.url, "sleeper", [("seconds", "60")]))
    assert state_of(again) == "ProcessFailed"
    assert "time limit 00:00:02" in client.message_of(again)
    assert "Traceback" not in server.read_log()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("poll_interval = 0.2", "poll_intervall = 1"), "unknown key; did you mean poll_interval?"),
        (("mode = scheduler", "mode = default"), "[processing] mode: must be scheduler"),
        (("[hpc.resources]", "[hpc.resource]"), "unknown section"),
        (("[hpc.resources]", "[hpc.resources]\nqueue = a b"), "[hpc.resources] queue"),
    ],
)
def test_wrong_settings_are_told_in_one_line_and_the_old_ones_stay(
    server: Reloadable, change: tuple[str, str], told: str
) -> None:
    workers, before = server.worker_pids(), len(server.read_log().splitlines())
    assert change[0] in server.text
    server.config.write_text(server.text.replace(*change))
    server.reload(told)
    time.sleep(1)
    (line,) = [text for text in server.read_log().splitlines()[before:] if told in text]
    assert "not reloaded, the previous settings stay" in line
    assert server.worker_pids() == workers
    location = client.submit(server.url, "repeat_2", [("text", "a")])
    assert state_of(client.await_end(location)) == "ProcessSucceeded"


@pytest.mark.parametrize("code", ["raise it is broken", "exit 3"])
def test_an_application_that_is_broken_meanwhile_goes_on_as_it_was(
    server: Reloadable, code: str
) -> None:
    workers = server.worker_pids()
    server.code_file.write_text(code)
    server.reload("not reloaded, the previous application goes on: ")
    assert server.worker_pids() == workers
    assert server.answers()


def test_log_files_are_opened_anew_whether_or_not_the_settings_are_right(
    server: Reloadable,
) -> None:
    log = server.folder / "pywps.log"
    for number, told in enumerate(["server.master: reloaded", "unknown key"]):
        if number:
            server.config.write_text(server.text.replace("poll_backoff", "poll_backof"))
        log.rename(server.folder / f"pywps.log.{number}")
        server.reload(told)

        def is_new() -> bool:
            """Each part hears of it at its own time; one that has opens the file when it writes."""
            HTTP.get(f"{server.url}?service=WPS&request=Nonsense", timeout=30)
            return log.exists()

        wait_for(is_new, "a new log file", 10)


def test_an_order_to_reopen_logs_in_the_middle_of_a_reload_ends_nothing(
    server: Reloadable,
) -> None:
    supervisor, dispatcher = server.root.pid, server.part("dispatcher")
    ended = server.read_log().count(" ended (")
    server.root.send_signal(signal.SIGHUP)
    until = time.monotonic() + 2
    while time.monotonic() < until:  # in which the dispatcher becomes a new program
        dispatcher.send_signal(signal.SIGUSR1)
        time.sleep(0.02)
    wait_for(server.is_ready, "it works", SOON)
    assert server.read_log().count(" ended (") == ended
    assert (server.root.pid, server.part("dispatcher").pid) == (supervisor, dispatcher.pid)


def decided(server: Reloadable) -> int:
    """How many reloads of the dispatcher have come to their end, or were refused."""
    log = server.read_log()
    return log.count(": leads") + log.count("not reloaded, the previous settings stay")


def test_a_file_that_is_broken_in_the_middle_of_a_reload_ends_nothing(server: Reloadable) -> None:
    """Whatever moment that is: the dispatcher becomes a new program meanwhile."""
    dispatcher, ended = server.part("dispatcher").pid, server.read_log().count(" ended (")
    for tenth in range(1, 11):
        server.config.write_text(server.text)
        before = decided(server)
        server.root.send_signal(signal.SIGHUP)
        time.sleep(tenth / 10)
        server.config.write_text("[hpc]\npoll_backof = 2\n")
        wait_for(lambda: decided(server) > before, "it reloads or does not", SOON)  # noqa: B023
        assert server.read_log().count(" ended (") == ended
    assert server.part("dispatcher").pid == dispatcher


@pytest.mark.parametrize(("part", "name"), [("web", "web server"), ("dispatcher", "dispatcher")])
def test_a_killed_part_is_started_again(server: Reloadable, part: Part, name: str) -> None:
    before = server.read_log().count(f"{name} started, pid")
    server.kill9(part)
    wait_for(lambda: server.read_log().count(f"{name} started, pid") > before, name, SOON)
    wait_for(server.is_ready, "it works again", SOON)
    assert f"{name} ended (-9), restarting in 1 s" in server.read_log()


def test_sighup_at_any_moment_of_a_start_ends_nothing(tmp_path: Path) -> None:
    server = Reloadable(tmp_path)
    (process,) = [server.spawn(command) for command in server.commands()]
    server.started.append(process)
    wait_for(lambda: "dispatcher started" in server.read_log(), "the supervisor is up")
    deadline = time.monotonic() + SOON
    try:
        while not server.is_ready():
            assert time.monotonic() < deadline, server.read_log()
            for one in server.processes():
                if "pywps_hpc" in one.cmdline():
                    one.send_signal(signal.SIGHUP)
            assert process.poll() is None, server.read_log()
            time.sleep(0.1)
        time.sleep(1)
        assert process.poll() is None
        assert "started again" not in server.read_log()
        wait_for(server.answers, "it answers")
    finally:
        server.stop()


# What a wrong configuration and a closed storage look like to a client


def test_a_percent_sign_in_a_section_of_the_service_is_a_percent_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"answer": "50% of %(nothing)s", "other": "a%%b"}
    inside = build(tmp_path, monkeypatch, {"odd": odd})
    answer = inside.post()
    assert answer.status_code == 200, answer.get_data()
    assert b"ProcessAccepted" in answer.get_data()


def test_a_percent_sign_in_pywps_own_sections_is_refused_at_start_in_any_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"\[server\] maxrequestsize: a '%' in PyWPS's own"):
        build(tmp_path, monkeypatch, {"server": {"maxrequestsize": "5%"}})


@pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that may not write")
def test_a_spool_without_write_permission_is_a_busy_service_and_no_error(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = build(open_folder, monkeypatch)
    for path in (inside.spool, *inside.spool.rglob("*")):
        os.chown(path, 65534, 65534)
    assert inside.post().status_code == 200
    inside.spool.chmod(0o500)
    os.seteuid(65534)
    try:
        answer = inside.post()
    finally:
        os.seteuid(0)
        inside.spool.chmod(0o700)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    words = client.exception_of(answer.get_data())
    assert "the storage does not let the service write" in words
    assert str(inside.spool).encode() not in answer.get_data()


def _in_thread(call: Callable[[], client.Answer]) -> Callable[[], client.Answer]:
    """Call it in a thread; gives what waits for the result."""
    found: list[client.Answer] = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()

    def result() -> client.Answer:
        thread.join(120)
        return found[0]

    return result
