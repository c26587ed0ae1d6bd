"""Commands over SSH, on a real server: what they answer, and what is known when they do not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pywps_hpc.dispatch.channels import ssh
from pywps_hpc.dispatch.channels.local import ChannelError, ChannelTimeout, ChannelUnavailable
from pywps_hpc.dispatch.channels.ssh import SshChannel
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    SchedulerUnavailable,
    SubmissionPostponed,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.settings import Ssh
from servers import wait_for
from sshd import SSHD, Sshd, make_key

pytestmark = pytest.mark.skipif(
    not SSHD.exists() and os.environ.get("PYWPS_HPC_CLUSTER") != "1",
    reason="needs Debian's openssh-server",
)
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def channel(server: Sshd) -> Iterator[SshChannel]:
    channel = SshChannel(server.ssh, PATH)
    yield channel
    channel.close()


def refusal(own: Ssh) -> str:
    """Why no command can be sent with these settings; one line."""
    with pytest.raises(ChannelUnavailable) as caught:
        SshChannel(own, PATH).run(["true"], timeout=30)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


@contextlib.contextmanager
def time_is_up(when: Callable[[], object]) -> Iterator[None]:
    """The time of the next command, on a connection that is there, is up as soon as this is true:
    it has certainly begun, and its own limit on the login host has long not passed."""

    def enter(self: ssh._Deadline) -> ssh._Deadline:
        def expire() -> None:
            wait_for(when, "the command", 120)
            self._end()

        threading.Thread(target=expire, daemon=True).start()
        return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssh._Deadline, "__enter__", enter)
        yield


# Answers


def test_exit_status_and_both_outputs_come_back_apart(channel: SshChannel) -> None:
    answer = channel.run(shell("echo out; echo err >&2; exit 7"), timeout=30)
    assert answer == (7, "out\n", "err\n")


def test_standard_input_arrives_whole_while_output_flows_back(channel: SshChannel) -> None:
    text = "#!/bin/sh\nécho ünïcode $(id) 'quoted'\n" * 100_000  # more than one window
    assert channel.run(["cat"], stdin=text, timeout=60) == (0, text, "")


def test_without_standard_input_a_command_reads_the_end_of_file(channel: SshChannel) -> None:
    assert channel.run(["cat"], timeout=30) == (0, "", "")


def test_a_command_that_leaves_its_input_unread_has_answered(channel: SshChannel) -> None:
    answer = channel.run(shell("echo early; exit 3"), stdin="x" * 8_000_000, timeout=60)
    assert answer == (3, "early\n", "")


def test_arguments_arrive_letter_by_letter(channel: SshChannel) -> None:
    nasty = [
        "a b",
        "$(id)",
        "`id`",
        "'",
        '"',
        "a\nb",
        "*",
        "~",
        "-x",
        "",
        "\\",
        "ü",
        ";id",
        "$HOME",
    ]
    nasty += ["!x", "%s", "a=b", "|", "&", ">/nowhere", "#", "{a,b}", "\t"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    answer = channel.run(["python3", "-c", program, *nasty], timeout=30)
    assert json.loads(answer.stdout) == nasty


def test_nothing_but_the_declared_environment_reaches_a_command(server: Sshd) -> None:
    declared = {**PATH, "SLURM_CONF": "/a 'b' $(c)/slurm.conf"}
    channel = SshChannel(server.ssh, declared)
    answer = channel.run(["env", "-0"], timeout=30)
    channel.close()
    found = dict(item.split("=", 1) for item in answer.stdout.split("\0") if item)
    who = {name: found.pop(name) for name in ("HOME", "USER", "LOGNAME")}
    assert found == {"LANG": "C", **declared}
    assert who["USER"] == who["LOGNAME"] == server.ssh.user
    assert who["HOME"] == os.path.expanduser(f"~{server.ssh.user}")


def test_large_output_on_both_streams_arrives_whole(channel: SshChannel) -> None:
    answer = channel.run(
        shell("head -c 9000000 /dev/zero >&2; head -c 9000000 /dev/zero"), timeout=60
    )
    assert (answer.returncode, len(answer.stdout), len(answer.stderr)) == (0, 9_000_000, 9_000_000)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_output_without_end_is_given_up(
    channel: SshChannel, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr(ssh, "LIMIT", 1_000_000)
    with pytest.raises(ChannelError, match="answered more than 1000000 bytes") as caught:
        channel.run(shell(f"yes >&{stream}"), timeout=30)
    assert type(caught.value) is ChannelError
    assert channel.run(["true"], timeout=30).returncode == 0


def test_commands_share_one_connection(server: Sshd, channel: SshChannel) -> None:
    before = server.logins()
    for number in range(3):
        assert channel.run(["echo", str(number)], timeout=30).stdout == f"{number}\n"
    assert server.logins() == before + 1


def test_commands_of_several_threads_run_one_after_the_other(
    channel: SshChannel, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    script = f"echo begin >>{trace}; sleep 0.2; echo end >>{trace}"
    threads = [
        threading.Thread(target=channel.run, args=[shell(script)], kwargs={"timeout": 120})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trace.read_text().split() == ["begin", "end"] * 4


# No answer


def test_a_command_that_is_not_there_was_not_started(channel: SshChannel) -> None:
    with pytest.raises(ChannelUnavailable, match=r"does not run sbatch-nowhere: .*No such file"):
        channel.run(["sbatch-nowhere"], timeout=30)


def test_a_nul_character_cannot_be_sent(channel: SshChannel) -> None:
    with pytest.raises(ChannelUnavailable, match="NUL"):
        channel.run(["echo", "a\0b"], timeout=30)


def test_a_command_killed_by_a_signal_gave_no_answer(channel: SshChannel) -> None:
    with pytest.raises(ChannelError, match="no complete answer") as caught:
        channel.run(shell("kill -KILL $$"), timeout=30)
    assert type(caught.value) is ChannelError


def test_a_command_that_hangs_is_given_up_and_ended_on_the_login_host(
    channel: SshChannel, tmp_path: Path
) -> None:
    pidfile = tmp_path / "pid"
    assert channel.run(["true"], timeout=30).returncode == 0
    begun = time_is_up(lambda: pidfile.exists() and pidfile.read_text())
    with begun, pytest.raises(ChannelTimeout, match=r"did not answer within 5 s"):
        channel.run(shell(f"echo $$ >{pidfile}; sleep 300; :"), timeout=5)
    pid = int(pidfile.read_text())
    wait_for(lambda: not psutil.pid_exists(pid), "the command to end")


def test_a_command_that_hangs_is_given_up_by_the_clock(channel: SshChannel) -> None:
    started = time.monotonic()
    line = ssh.command_line
    with pytest.MonkeyPatch.context() as patch:
        # The login host does not end it before we give up, though we stand still for a while.
        patch.setattr(ssh, "command_line", lambda argv, environment, _: line(argv, environment, 30))
        with pytest.raises(ChannelTimeout, match=r"did not answer within 1 s"):
            channel.run(["sleep", "60"], timeout=1)
    assert time.monotonic() - started < 60


def test_a_command_goes_on_after_one_that_hung(channel: SshChannel, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    assert channel.run(["true"], timeout=30).returncode == 0
    with time_is_up(mark.exists), pytest.raises(ChannelTimeout):
        channel.run(shell(f"touch {mark}; sleep 60"), timeout=30)
    assert channel.run(["echo", "on"], timeout=30).stdout == "on\n"


def test_a_connection_cut_in_the_middle_leaves_the_effect_open(
    server: Sshd, channel: SshChannel, tmp_path: Path
) -> None:
    mark = tmp_path / "started"
    threading.Thread(
        target=lambda: (wait_for(mark.exists, "the command"), server.cut()), daemon=True
    ).start()
    started = time.monotonic()
    with pytest.raises(ChannelError, match=r"connection .* broke") as caught:
        channel.run(shell(f"touch {mark}; sleep 60"), timeout=90)
    assert type(caught.value) is ChannelError  # neither "certainly not started" nor "hung"
    assert time.monotonic() - started < 60
    assert channel.run(["echo", "again"], timeout=30).stdout == "again\n"


def test_a_connection_that_broke_meanwhile_is_made_anew(server: Sshd, channel: SshChannel) -> None:
    assert channel.run(["true"], timeout=30).returncode == 0
    server.stop()
    server.start()
    assert channel.run(["echo", "new"], timeout=30).stdout == "new\n"


def test_a_kept_connection_that_hangs_is_replaced(server: Sshd) -> None:
    channel = SshChannel(server.ssh, PATH)
    assert channel.run(["true"], timeout=30).returncode == 0
    kept = channel._transport
    assert kept is not None
    open_session, patience = kept.open_session, []

    def hasty(timeout: float) -> object:
        """The new connection may take its time, this one need not: it will never react."""
        patience.append(timeout)
        return open_session(timeout=1)

    with server.frozen(listener=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "open_session", hasty)
        started = time.monotonic()
        assert channel.run(["echo", "new"], timeout=30).stdout == "new\n"
        assert time.monotonic() - started < 60
    assert patience == [server.ssh.timeout]
    channel.close()


def test_a_host_that_hangs_during_a_command_is_given_up(server: Sshd, tmp_path: Path) -> None:
    channel = SshChannel(server.ssh, PATH)
    assert channel.run(["true"], timeout=30).returncode == 0
    mark = tmp_path / "started"
    failures: list[BaseException] = []
    hangs = threading.Event()

    def run() -> None:
        try:
            channel.run(shell(f"touch {mark}; sleep 60; echo done"), timeout=30)
        except ChannelError as error:
            failures.append(error)

    with time_is_up(hangs.is_set):
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(mark.exists, "the command")
        with server.frozen():
            hangs.set()
            thread.join(60)
            assert not thread.is_alive()
    assert type(failures[0]) is ChannelTimeout


def test_a_host_that_hangs_costs_bounded_time_and_says_so(server: Sshd) -> None:
    channel = SshChannel(server.ssh, PATH)
    assert channel.run(["true"], timeout=30).returncode == 0
    with server.frozen(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "_own", server.hasty())  # while it hangs
        started = time.monotonic()
        with pytest.raises(ChannelUnavailable, match="does not respond within 3 s"):
            channel.run(["true"], timeout=30)
        assert time.monotonic() - started < 60
    assert channel.run(["echo", "awake"], timeout=30).stdout == "awake\n"
    channel.close()


def test_a_port_that_never_greets_costs_bounded_time(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        assert "does not respond within 3 s" in refusal(
            replace(server.hasty(), port=mute.getsockname()[1])
        )
        assert time.monotonic() - started < 60


def test_a_server_that_is_down_was_not_asked(server: Sshd, channel: SshChannel) -> None:
    server.stop()
    with pytest.raises(ChannelUnavailable, match=r"cannot connect to .*Connection refused"):
        channel.run(["true"], timeout=30)
    server.start()
    assert channel.run(["echo", "back"], timeout=30).stdout == "back\n"


def test_a_job_that_cannot_be_looked_up_is_not_taken_for_absent(
    server: Sshd, channel: SshChannel
) -> None:
    scheduler = CommandScheduler(SlurmDialect(), channel)
    server.stop()
    try:
        with pytest.raises(SubmissionPostponed):
            scheduler.submit(BatchJob("w0", "#!/bin/sh\n", "/w0.log"))
        for ask in (scheduler.find, lambda job: scheduler.history([job])):
            with pytest.raises(SchedulerUnavailable):  # "nowhere" would have it submitted again
                ask("w0")
    finally:
        server.start()


# Who is there


def test_an_unknown_host_is_refused_before_anything_is_shown_to_it(tmp_path: Path) -> None:
    (tmp_path / "empty").touch(mode=0o600)
    server = Sshd(tmp_path)
    server.start()
    try:
        words = refusal(replace(server.ssh, known_hosts=tmp_path / "empty"))
        wait_for(lambda: not server.sessions(), "the end of the connection")
    finally:
        server.stop()
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", server.folder / "host_ed25519.pub"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    assert "its key is unknown" in words
    assert fingerprint.rstrip("=") in words
    assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> {tmp_path / 'empty'}" in words
    assert "Connection from 127.0.0.1" in server.log()
    assert not re.search("publickey|user", server.log())


def test_a_host_with_another_key_is_refused_in_other_words(server: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{server.port} {' '.join(stranger)}\n")
    before = server.logins()
    words = refusal(replace(server.ssh, known_hosts=known))
    assert "its key has CHANGED" in words
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in words
    assert server.logins() == before


def test_the_key_of_another_port_does_not_count(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(
        server.known_line("ed25519").replace(f"[127.0.0.1]:{server.port}", "127.0.0.1")
    )
    assert "its key is unknown" in refusal(replace(server.ssh, known_hosts=known))


@pytest.mark.parametrize("form", ["rsa only", "hashed", "one of several hosts"])
def test_a_known_host_is_recognised(server: Sshd, tmp_path: Path, form: str) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_line("rsa" if form == "rsa only" else "ed25519"))
    if form == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
        assert "127.0.0.1" not in known.read_text()
    if form == "one of several hosts":
        twin = make_key(tmp_path / "twin").with_suffix(".pub").read_text().split()[:2]
        own = known.read_text()
        known.write_text(f"# two hosts\n[127.0.0.1]:{server.port} {' '.join(twin)}\n\n{own}")
    channel = SshChannel(replace(server.ssh, known_hosts=known), PATH)
    assert channel.run(["echo", "hello"], timeout=30).stdout == "hello\n"
    channel.close()


@pytest.mark.parametrize("line", ["@revoked * ssh-ed25519 AAAA", "[127.0.0.1]:1 ssh-ed25519 !"])
def test_a_known_hosts_line_that_cannot_be_followed_is_refused(
    server: Sshd, tmp_path: Path, line: str
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_line("ed25519") + line + "\n")
    assert f"{known}, line 2" in refusal(replace(server.ssh, known_hosts=known))


def test_a_known_hosts_file_that_others_can_change_is_refused(server: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(server.known_line("ed25519"))
    known.chmod(0o666)
    words = refusal(replace(server.ssh, known_hosts=known))
    assert f"{known} can be changed by others (mode 0666): chmod go-w {known}" in words


def test_a_key_that_others_can_read_is_refused(server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "id"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0o644)
    words = refusal(replace(server.ssh, key=key))
    assert f"{key} can be read by others (mode 0644): chmod 600 {key}" in words


def test_a_key_that_the_host_does_not_know_is_named(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "stranger")
    assert f"does not accept the key {key}" in refusal(replace(server.ssh, key=key))


def test_a_key_with_a_passphrase_is_refused_in_words(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", passphrase="secret words")
    assert f"{key} is not a private key without a passphrase" in refusal(
        replace(server.ssh, key=key)
    )


def test_keys_of_agent_and_home_are_never_offered(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    (home / "id_ed25519").write_bytes(server.key.read_bytes())  # this one would be let in
    (home / "id_ed25519").chmod(0o600)
    monkeypatch.setenv("HOME", str(home.parent))
    before = server.logins()
    assert "does not accept" in refusal(replace(server.ssh, key=make_key(tmp_path / "stranger")))
    assert server.logins() == before


def test_keys_are_read_anew_for_every_connection(server: Sshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "id")
    channel = SshChannel(replace(server.ssh, key=key), PATH)
    with pytest.raises(ChannelUnavailable):
        channel.run(["true"], timeout=30)
    key.write_bytes(server.key.read_bytes())
    assert channel.run(["echo", "in"], timeout=30).stdout == "in\n"
    channel.close()


def test_without_paramiko_the_error_says_what_to_install(
    server: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'pywps-hpc[ssh]'")):
        SshChannel(server.ssh)
