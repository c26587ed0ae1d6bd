"""The forced command of the service's SSH key: all that the service asks for, and nothing else."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pywps_hpc.dispatch.channels import forced_command
from pywps_hpc.dispatch.channels.forced_command import REFUSED, Refused, allowed, systems
from pywps_hpc.dispatch.channels.ssh import SshChannel, command_line
from pywps_hpc.dispatch.schedulers import dialects as all_dialects
from pywps_hpc.dispatch.schedulers.base import BatchJob
from pywps_hpc.dispatch.schedulers.dialect import Action, Dialect
from sshd import SSHD, Sshd

SCRIPT = Path(forced_command.__file__)
IDS = {
    "slurm": ["1", "234_5", "99999999"],
    "gridengine": ["1", "234.5", "99999999"],
    "torque": ["1.head.example.org", "234[5].head.example.org"],
    "openpbs": ["1.head", "234.head.example.org"],
}


def dialects() -> list[type[Dialect]]:
    """Every dialect in the package, whoever wrote it."""
    modules = pkgutil.iter_modules(all_dialects.__path__, f"{all_dialects.__name__}.")
    ours = [importlib.import_module(module.name) for module in modules]
    own = [module.DIALECT for module in ours if hasattr(module, "DIALECT")]  # no system: a family
    return sorted(own, key=lambda dialect: dialect.system)


def commands(dialect: Dialect) -> Iterator[list[str]]:
    """Every command that a dialect has, for one job and for several."""
    yield list(dialect.submit(BatchJob("w0123456789abcd", "#!/bin/sh\n", "/spool/job.log")).argv)
    yield from (list(question.argv) for question in dialect.find("w0123456789abcd"))
    yield list(dialect.probe().argv)
    if (question := dialect.version()) is not None:
        yield list(question.argv)
    ids = IDS[dialect.system]
    for some, ask in [(ids, dialect.poll), (ids[:1], dialect.recent), (ids[:1], dialect.history)]:
        if (question := ask(some)) is not None:
            yield list(question.argv)
    if dialect.history_chunk > 1 and (several := dialect.history(ids)) is not None:
        yield list(several.argv)
    for action in Action:
        for some in (ids[:1], ids):
            yield from (list(way.argv) for way in dialect.control(action, some))


def test_there_is_a_rule_book_for_every_batch_system_with_commands() -> None:
    assert {dialect.system for dialect in dialects()} == set(systems())


@pytest.mark.parametrize("dialect", dialects(), ids=lambda dialect: dialect.system)
def test_every_command_of_the_service_is_let_through(dialect: type[Dialect]) -> None:
    environment = {"PATH": "/opt/slurm/bin:/usr/bin", "SLURM_CONF": "/etc/slurm 1/slurm.conf"}
    for argv in commands(dialect()):
        assert allowed(dialect.system, command_line(argv, environment, 30.0)) == (argv, 32)


SLURM_TRICKS = [
    "",
    "bash",
    "sbatch",  # not as the service asks
    "sbatch --parsable /etc/passwd",
    "sbatch /etc/passwd",
    "sbatch --parsable --wrap=id",
    "sbatch --parsable --output=/home/wps/.ssh/authorized_keys",
    "sbatch --parsable --uid=root",
    "/tmp/sbatch --parsable",
    "./sbatch --parsable",
    "'sbatch --parsable'",
    "sbatch --parsable; id",
    "sbatch --parsable;id",
    "sbatch --parsable | sh",
    "sbatch --parsable && id",
    "sbatch --parsable > /tmp/x",
    "sbatch --parsable\nid",
    "sbatch --parsable\rid",
    "sbatch --parsable\0id",
    "sbatch --parsable # x",
    "sbatch --pars",
    "sbatch  --parsable ''",
    "SLURM_CONF=/tmp/own.conf sbatch --parsable",
    "env SLURM_CONF=/tmp/own.conf sbatch --parsable",
    "env -i SLURM_CONF=/tmp/own.conf sbatch --parsable",
    "exec env -i -S id sbatch --parsable",
    "exec env -i A=1 --chdir=/tmp sbatch --parsable",
    "exec env -i A=1 env sbatch --parsable",
    "exec env -i timeout -s KILL 9 timeout -s KILL 9 sbatch --parsable",
    "timeout -s KILL 5 id",
    "timeout -s KILL -1 sbatch --parsable",
    "timeout -k 1 -s KILL 5 sbatch --parsable",
    "exec sbatch --parsable",
    "$(id)",
    "`id`",
    "scancel $(id)",
    "scancel `id`",
    "scancel",
    "scancel -u root",
    "scancel --full 1",
    "scancel 1 --user=root",
    "scancel 1 ''",
    "scancel 1;id",
    "scancel '1\n2'",
    "scancel 1\u0662",
    "scancel --signal=KILL --full 1",
    "scontrol",
    "scontrol show config",
    "scontrol write batch_script 1 /home/wps/.bashrc",
    "scontrol --oneliner show job 1 --json",
    "scontrol update JobId=1 Command=/x",
    "scontrol hold jobname=x",
    "scontrol hold 1,",
    "scontrol hold 1,2 3",
    "scontrol shutdown",
    "squeue",
    "squeue --all --array --me --states=all --format=%i --name=a;b",
    "squeue --all --array --me --states=all --format=$(id)",
    "squeue --all --array --me --states=all '--format=%i x'",
    "squeue --all --array --me --states=all --format=%i --clusters=x",
    "sacct --allocations --parsable2 --format=JobID --jobs=1 --user=root",
    "sacct --allocations --parsable2 --format=JobID --jobs=$HOME",
    "sacct --allocations --parsable2 --format=JobID --file=/etc/shadow",
    "srun id",
    "salloc",
    "scp -t /tmp",
    "internal-sftp",
    "sbatch 'unclosed",
    "sbatch --parsable \\",
    "qsub",
    " ",
    "\t",
    "x" * 200_000,
]


@pytest.mark.parametrize("request_", SLURM_TRICKS, ids=lambda text: repr(text)[:50])
def test_everything_else_is_refused(request_: str) -> None:
    with pytest.raises(Refused):
        allowed("slurm", request_)


@pytest.mark.parametrize(
    ("system", "request_"),
    [
        ("gridengine", "qsub -terse -b y id"),
        ("gridengine", "qstat -xml -g d -u root -s prs"),
        ("gridengine", "qsub -terse -o /home/wps/.ssh/authorized_keys"),
        ("gridengine", "qsub -terse -@ /tmp/options"),
        ("gridengine", "qsub -terse /etc/passwd"),
        ("gridengine", "qdel -u root"),
        ("gridengine", "qdel -f 1"),
        ("gridengine", "qdel '*'"),
        ("gridengine", "qconf -mattr queue"),
        ("gridengine", "qmod -d all.q"),
        ("gridengine", "qacct -f /etc/shadow"),
        ("gridengine", "qrsh id"),
        ("torque", "qsub -I"),
        ("torque", "qsub -z /etc/passwd"),
        ("torque", "qsub -v x -- id"),
        ("torque", "qsub -W x=y"),
        ("torque", "qdel all"),
        ("torque", "qdel -p 1.head"),
        ("torque", "qdel 1.head;id"),
        ("torque", "qdel 1@other"),
        ("torque", "qsig -s KILL 1.head"),
        ("torque", "qmgr -c s"),
        ("torque", "qstat -f -1 -Q"),
    ],
)
def test_other_batch_systems_are_held_as_tight(system: str, request_: str) -> None:
    with pytest.raises(Refused):
        allowed(system, request_)


def test_quotes_make_no_difference_to_what_runs() -> None:
    assert allowed("slurm", "'scan'cel \"12\"")[0] == ["scancel", "12"]


def test_a_request_cannot_take_as_long_as_it_likes() -> None:
    assert allowed("slurm", "timeout -s KILL 999999 scancel 1") == (["scancel", "1"], 3600)
    assert allowed("slurm", "timeout -s KILL 0 scancel 1") == (["scancel", "1"], 1)


def test_no_rule_is_so_wide_that_it_lets_an_option_in() -> None:
    for system in systems():
        for rule in (SCRIPT.parent / f"{system}.rules").read_text().splitlines():
            sample = rule.replace("...", "").replace("< ", "").split()
            for place, word in enumerate(sample):
                if word.startswith("<"):
                    with pytest.raises(Refused):
                        allowed(system, shlex.join([*sample[:place], "--x", *sample[place + 1 :]]))


def test_the_script_needs_no_newer_python_than_login_hosts_have() -> None:
    source = SCRIPT.read_text()
    imports = [
        node
        for node in ast.walk(ast.parse(source, feature_version=(3, 6)))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    # All in 3.6, and none of ours. "from __future__ import annotations" is of 3.7.
    names = {alias.name for node in imports for alias in node.names}
    assert names == {"os", "pwd", "re", "shlex", "sys", "syslog"}
    assert "shlex.join" not in source  # 3.8


# The whole program


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Stand-ins for the batch system's commands: they tell how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "scancel"):
        file = folder / name
        file.write_text('#!/bin/sh\necho "$0" "$@"\ncat\npwd\nenv\nexit 9\n')
        file.chmod(0o755)
    return folder


def run(
    request_: str | None, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "SBATCH_PARTITION": "nowhere", **variables}
    if request_ is not None:
        environment["SSH_ORIGINAL_COMMAND"] = request_
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_command_runs_with_the_administrators_environment_only(programs: Path) -> None:
    path = f"{programs}:/usr/bin:/bin"
    answer = run(
        command_line(["sbatch", "--parsable"], {"SLURM_CONF": "/tmp/own", "PATH": "/tmp"}, 5),
        "slurm",
        f"PATH={path}",
        "SLURM_CONF=/etc/slurm/slurm.conf",
        stdin="#!/bin/sh\n",
    )
    assert answer.returncode == 9
    first, script, folder, *environment = answer.stdout.splitlines()
    assert (first, script, folder) == (f"{programs}/sbatch --parsable", "#!/bin/sh", "/")
    found = dict(line.split("=", 1) for line in environment)
    assert found["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert found["PATH"] == path
    assert "SBATCH_PARTITION" not in found
    assert "SSH_ORIGINAL_COMMAND" not in found


def test_only_a_submission_reads_what_is_sent_along(programs: Path) -> None:
    answer = run("scancel 7", "slurm", f"PATH={programs}:/usr/bin:/bin", stdin="secret\n")
    assert answer.stdout.startswith(f"{programs}/scancel 7\n/\n")


@pytest.mark.parametrize("request_", [None, "id", "sbatch --parsable; id"])
def test_a_refusal_runs_nothing_and_is_told_to_both_sides(
    request_: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    monkeypatch.setattr(forced_command.syslog, "syslog", lambda _, text: told.append(text))
    monkeypatch.setattr(os, "execvpe", lambda *_: pytest.fail("something ran"))
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 1 192.0.2.1 22")
    assert forced_command.main(["slurm"], request_ or "") == REFUSED
    assert capfd.readouterr().err.startswith("refused by this key's forced command: ")
    assert len(told) == 1
    assert "from 192.0.2.7" in told[0]
    assert repr(request_ or "") in told[0]


def test_nothing_in_the_log_of_a_refusal_can_pass_for_another_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr(forced_command.syslog, "syslog", lambda _, text: told.append(text))
    forced_command.main(["slurm"], "id\nNov 1 sshd: Accepted \x1b[2J" + "x" * 5000)
    assert told[0].isprintable()
    assert len(told[0]) < 800


@pytest.mark.parametrize("arguments", [[], ["pbs"], ["slurm", "SLURM_CONF"]])
def test_a_wrong_line_in_authorized_keys_refuses_everything(arguments: list[str]) -> None:
    answer = run("sbatch --parsable", *arguments)
    assert answer.returncode == REFUSED  # by which the channel knows that nothing was started
    assert "usage: forced_command.py" in answer.stderr


def test_a_program_without_its_rules_refuses_everything(tmp_path: Path) -> None:
    alone = shutil.copy(SCRIPT, tmp_path)
    answer = subprocess.run(
        [sys.executable, "-I", alone, "slurm"],
        env={"SSH_ORIGINAL_COMMAND": "sbatch --parsable"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == REFUSED
    assert "slurm.rules" in answer.stderr


@pytest.mark.skipif(
    not SSHD.exists() and os.environ.get("PYWPS_HPC_CLUSTER") != "1",
    reason="needs Debian's openssh-server",
)
def test_a_key_with_the_forced_command_serves_the_channel(programs: Path, tmp_path: Path) -> None:
    from pywps_hpc.dispatch.channels.local import ChannelUnavailable

    server = Sshd(tmp_path)
    command = f"{sys.executable} -I {SCRIPT} slurm PATH={programs}:/usr/bin:/bin"
    server.authorize(f'restrict,command="{command}"')
    server.start()
    channel = SshChannel(server.ssh, {"PATH": "/nowhere"})
    try:
        answer = channel.run(["sbatch", "--parsable"], stdin="#!/bin/sh\n", timeout=120)
        assert answer.returncode == 9
        assert answer.stdout.startswith(f"{programs}/sbatch --parsable\n#!/bin/sh\n/\n")
        for refused in (["id"], ["sbatch", "--parsable", "--wrap=id"], ["scancel", "1;id"]):
            with pytest.raises(ChannelUnavailable, match="refused by this key's forced command"):
                channel.run(refused, timeout=120)
    finally:
        channel.close()
        server.stop()
