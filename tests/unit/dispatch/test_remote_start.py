"""A process starts programs on its job's other nodes: batch script, request and answer together.

The script is run by a real shell, with stand-ins for the batch system's own commands that run what
they are given on this host. What is in the place of the launcher does what a process would do.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from joblauncher import ranks, remote
from joblauncher.shared.pilotdir import PilotDir
from places import ROOT
from pywps_hpc.dispatch.scripts.script import Scripts
from pywps_hpc.jobs import Job
from pywps_hpc.settings import Container, ProcessSettings, Resources, Settings

JOB = "00000000-0000-4000-8000-000000000001"
#: How each system is told apart in what its stand-in is called with; $1 is then the node.
COMMANDS = {
    "slurm": (
        "srun",
        "for w; do case $w in --nodelist=*) node=${w#*=} ;; -*) ;; *) break ;; esac; "
        'shift; done; exec env ON=$node "$@"',
    ),
    "gridengine": ("qrsh", 'shift 2; node=$1; shift; exec env ON=$node bash -c "$*"'),
    "torque": ("pbsdsh", 'shift; node=$1; shift; exec env ON=$node "$@"'),
    "openpbs": ("pbs_tmrsh", 'node=$1; shift; exec env ON=$node "$@"'),
}

only_slurm = pytest.mark.parametrize("script", ["slurm"], indirect=True)


@pytest.fixture(params=COMMANDS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The batch script of a job on two nodes, up to where the launcher begins."""
    own = ProcessSettings(
        resources=Resources(nodes=2, tasks=4), container=Container(runtime="none")
    )
    folder = tmp_path / JOB
    (folder / "tmp").mkdir(parents=True)
    job = Job(JOB, "w0", "", "0" * 64)
    settings = Settings(spool=tmp_path, defaults=own)
    text = Scripts(settings, request.param).batch_job([job]).script
    name, body = COMMANDS[request.param]
    commands = tmp_path / "commands"
    commands.mkdir()
    for command, lines in ((name, body), ("scontrol", "printf 'n1\\nn2\\n'")):
        (commands / command).write_text(f"#!/bin/sh\n{lines}\n")
        (commands / command).chmod(stat.S_IRWXU)
    (tmp_path / "nodes").write_text("n1 2 all.q\nn2 2 all.q\n")
    path = tmp_path / "script"
    path.write_text(text.rpartition("\nexec env -i ")[0] + '\nexec "$@"\n')
    return path


def run(script: Path, process: str) -> subprocess.CompletedProcess[str]:
    """Run the script; in the place of the launcher stands a program of Python."""
    nodes = str(script.with_name("nodes"))
    environment = {
        **os.environ,
        "PATH": f"{script.with_name('commands')}:/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "PYWPS_HPC_TASKS": "4",
        "PE_HOSTFILE": nodes,
        "PBS_NODEFILE": nodes,
    }
    program = (
        "import os, subprocess, sys\nfrom pathlib import Path\nfrom joblauncher import ranks\n"
    )
    program += f"folder = Path({str(script.with_name(JOB))!r})\n"
    program += "ranks.prepare(folder, folder / 'tmp')\nagent = os.environ['HYDRA_LAUNCHER_EXEC']\n"
    # Slurm obeys the script's first line; the others are told of bash.
    shell = "sh" if (script.with_name("commands") / "srun").exists() else "bash"
    # Files, as with a batch system: nobody waits for the end of a pipe.
    told, log = script.with_name("told"), script.with_name("log")
    with told.open("w") as stdout, log.open("w") as stderr:
        made = subprocess.run(
            [shell, str(script), sys.executable, "-c", program + textwrap.dedent(process)],
            env=environment,
            stdout=stdout,
            stderr=stderr,
            timeout=60,
            cwd=script.parent,
        )
    return subprocess.CompletedProcess(
        made.args, made.returncode, told.read_text(), log.read_text()
    )


def test_a_command_runs_on_the_node_that_is_named_and_its_end_is_told(script: Path) -> None:
    made = run(
        script,
        """
        os.environ["OWN"] = "of the process's; $(touch bad)"
        line = 'echo "$PYWPS_HPC_NODE:$OWN"; exit'
        for node, code in (("n2", "3"), ("n1", "0"), ("elsewhere", "0")):
            ended = subprocess.run([agent, node, line, code], cwd=folder)
            print(node, ended.returncode, flush=True)
        print(Path(os.environ["HYDRA_HOST_FILE"]).read_text())
        """,
    )
    assert made.stdout.split("\n") == [
        "n2:of the process's; $(touch bad)",
        "n2 3",
        "n1:of the process's; $(touch bad)",
        "n1 0",
        "elsewhere 127",
        "n1:2",
        "n2:2",
        "",
        "",
    ], made.stderr
    assert not list(script.parent.rglob("bad"))


@only_slurm
def test_ending_the_remote_shell_ends_what_it_started(script: Path) -> None:
    made = run(
        script,
        """
        import signal, time
        shell = subprocess.Popen([agent, "n2", "echo begun; sleep 600 & sleep 600"],
                                 stdout=sys.stdout)
        while not (folder.parent / "told").stat().st_size:
            time.sleep(0.1)
        shell.send_signal(signal.SIGTERM)
        print(shell.wait(30))
        """,
    )
    assert made.stdout.split() == ["begun", str(128 + 15)], made.stderr


#: Waits in the place of a process until so many requests have ended; then prints how.
UNTIL_ENDED = """
import time
def until_ended(number, folder=folder / "ranks"):
    ended = []
    while len(ended) < number:
        time.sleep(0.1)
        ended = sorted(name for name in os.listdir(folder) if ".ended." in name)
    print(*ended)
"""
#: What the batch script ran for a request; a test that expects nothing looks at all of it.
STARTED = "started"


def never_started(script: Path) -> None:
    """From now on the batch system's own command only notes that it was called."""
    command = script.with_name("commands") / "srun"
    command.write_text(f"#!/bin/sh\necho \"$@\" >> '{script.with_name(STARTED)}'\n")


@only_slurm
def test_a_request_names_a_node_of_the_allocation_by_its_place_or_starts_nothing(
    script: Path,
) -> None:
    never_started(script)
    wanted = ["3", "0", "-1", "01", "n2", "elsewhere", "$(touch bad)", "`touch bad`", "1 2", "2\n1"]
    wanted += [
        "2; touch bad",
        "*",
        "= 2 -o 1",
        "!",
        "(",
        "[ 2 ]",
        "1\\",
        "'",
        '"',
        "/2",
        "/etc/passwd",
    ]
    made = run(
        script,
        UNTIL_ENDED
        + f"""
for number, text in enumerate({wanted!r}, 1):
    os.symlink(text, folder / "ranks" / str(number))
until_ended({len(wanted)})
""",
    )
    assert sorted(made.stdout.split()) == sorted(f"{n}.ended.1" for n in range(1, len(wanted) + 1))
    assert not script.with_name(STARTED).exists()
    assert not list(script.parent.rglob("bad"))


@only_slurm
def test_what_is_no_link_is_never_opened(script: Path) -> None:
    never_started(script)
    made = run(
        script,
        UNTIL_ENDED
        + """
(folder / "ranks/1").write_text("2")
os.mkfifo(folder / "ranks/2")
(folder / "ranks/3").mkdir()
(folder / "target").write_text("2")
os.symlink("../target", folder / "ranks/4")
until_ended(4)
""",
    )
    assert made.stdout.split() == [f"{n}.ended.1" for n in range(1, 5)], made.stderr
    assert not script.with_name(STARTED).exists()


@only_slurm
def test_another_folder_in_the_place_of_the_requests_is_not_written_to(script: Path) -> None:
    made = run(
        script,
        UNTIL_ENDED
        + """
outside = folder.parent / "outside"
outside.mkdir()
os.symlink("9/order", outside / "1")
os.rename(folder / "ranks", folder / "real")
os.symlink(outside, folder / "ranks")
os.symlink("9/order", folder / "real/1")
until_ended(1, folder / "real")
time.sleep(2)
print(*sorted(os.listdir(outside)))
""",
    )
    assert made.stdout.split() == ["1.ended.1", "1"], made.stderr


@only_slurm
def test_what_is_written_in_a_request_reaches_no_command_of_the_batch_system(script: Path) -> None:
    never_started(script)
    made = run(
        script,
        UNTIL_ENDED
        + """
os.symlink("2/--bind=/:/host --version", folder / "ranks/1")
os.environ["APPTAINER_BIND"] = os.environ["SLURM_JOB_ID"] = "mine"
with subprocess.Popen([agent, "n2", "line"], cwd=folder) as shell:
    until_ended(2)
""",
    )
    assert made.stdout.split() == ["1.ended.0", "2.ended.0"], made.stderr
    calls = script.with_name(STARTED).read_text()
    assert calls.count("--nodelist=n2 ") == 2
    for given in ("/host", "--version", "mine", "line", "order"):
        assert given not in calls


@only_slurm
def test_requests_are_bounded(script: Path) -> None:
    never_started(script)
    text = script.read_text()
    each_node = f"{remote.MOST_REQUESTS} *"
    assert text.count(each_node) == 1
    script.write_text(text.replace(each_node, "3 *"))
    made = run(
        script,
        UNTIL_ENDED
        + """
for number in range(1, 12):
    os.symlink("9/order", folder / "ranks" / str(number))
until_ended(6)
time.sleep(2)
until_ended(6)
""",
    )
    assert made.stdout.splitlines() == [" ".join(f"{n}.ended.1" for n in range(1, 7))] * 2


def test_one_who_has_made_the_most_requests_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote, "MOST_REQUESTS", 1)
    (tmp_path / "ranks").mkdir()
    (tmp_path / "ranks/hosts").write_text("n1\nn2\n")
    for number in ("1", "2"):
        (tmp_path / "ranks" / number).symlink_to("1/order")
    assert remote.start(tmp_path, "n2", ["true"]) == 127
    assert "this job has made 2 requests, the most" in capsys.readouterr().err


def test_a_container_on_another_node_is_the_one_of_the_launcher(tmp_path: Path) -> None:
    container = Container(
        image=tmp_path / "own image.sif",
        python_path=(tmp_path / "code",),
        environment={"IT_NO_EVAL": "isn't; $(touch bad)"},
        options=("--fakeroot",),
    )
    own = ProcessSettings(resources=Resources(nodes=2, gpus=1), container=container)
    settings = Settings(spool=tmp_path / "spool", defaults=own)
    text = Scripts(settings, "slurm").batch_job([Job(JOB, "w0", "", "0" * 64)]).script
    before, _, after = text.partition('\n        sh -c "$of_node" sh \\\n')
    there = after.partition(" -I -m joblauncher.remote serve ")[0]
    here = text.rpartition("\nexec ")[2].partition(" -I -m joblauncher ")[0]
    for word in ("--containall", "--fakeroot", "own image.sif"):
        assert word in here
    assert there.split() == here.split()
    # No value stands within the quotes of what is run there.
    assert "touch" not in before[before.index("of_node=") :]
    assert subprocess.run(["sh", "-n"], input=text, text=True).returncode == 0


@pytest.mark.parametrize("warm", [True, False])
def test_what_has_one_task_starts_nothing_on_other_nodes(tmp_path: Path, warm: bool) -> None:
    container = Container(image=tmp_path / "i.sif", warm=warm)
    own = ProcessSettings(resources=Resources(), container=container)
    scripts = Scripts(Settings(spool=tmp_path, defaults=own), "slurm")
    texts = [scripts.batch_job([Job(JOB, "w0", "", "0" * 64)]).script]
    if warm:
        texts += [scripts.pilot("p0", PilotDir(tmp_path / "pilot.1"), "0" * 64, "").script]
    for text in texts:
        for word in ("ranks", "joblauncher.remote", "srun --", "PYWPS_HPC_TASKS", "hosts"):
            assert word not in text


HYDRA = """
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   {}PID 32218 RUNNING AT c2
=   EXIT CODE: {}
=   CLEANING UP REMAINING PROCESSES
"""


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (HYDRA.format("", 9), "a rank on node c2 was killed by signal 9 (Killed)"),
        (HYDRA.format("", 3), "a rank on node c2 ended with exit code 3"),
        (HYDRA.format("RANK 3 ", 9), "rank 3 on node c2 was killed by signal 9 (Killed)"),
        (
            "mpirun noticed that process rank 1 with PID 0 on node c1 exited on signal 11 (Seg…).",
            "rank 1 on node c1 was killed by signal 11 (Segmentation fault)",
        ),
        ("  Process name: [[1,1],2]\n  Exit code:    3\n", "rank 2 ended with exit code 3"),
        ("", "the ranks could not be run to their end (mpiexec: exit code 7)"),
    ],
)
def test_the_end_of_a_rank_is_told_in_words(printed: str, words: str) -> None:
    assert ranks.why(printed, 7) == words


def test_one_without_mpiexec_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ranks.RanksFailed, match="there is no mpiexec where this process runs"):
        ranks.run(["true"])
