"""The DRMAA scheduler and its process, with a library that does everything wrong in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from places import ROOT
from pywps_hpc.dispatch.channels.local import Channel, CommandMissing, Completed
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    Phase,
    SchedulerError,
    SchedulerUnavailable,
    SubmissionPostponed,
    SubmissionRefused,
    SubmissionUncertain,
)
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.dialects.gridengine import GridEngineDialect
from pywps_hpc.dispatch.schedulers.dialects.slurm import SlurmDialect
from pywps_hpc.dispatch.schedulers.dialects.torque import TorqueDialect
from pywps_hpc.dispatch.schedulers.drmaa import CHUNK, DrmaaScheduler, Helper
from pywps_hpc.dispatch.schedulers.drmaa_session.process import HelperFailed
from pywps_hpc.dispatch.schedulers.drmaa_session.protocol import STATES
from servers import wait_for

#: In place of python-drmaa. A file named like a call holds the Python code that it runs first;
#: ``calls`` says which were made.
FAKE = '''
import os, signal, sys, time, types
from pathlib import Path

HERE = Path(os.environ["FAKE_DRMAA"])

class DrmaaException(Exception):
    pass

errors = types.SimpleNamespace(DrmaaException=DrmaaException)
for name in """AuthorizationException ConflictingAttributeValuesException DeniedByDrmException
        DrmCommunicationException HoldInconsistentStateException InternalException
        InvalidArgumentException InvalidAttributeFormatException InvalidAttributeValueException
        InvalidJobException NoActiveSessionException OutOfMemoryException TryLaterException
        SuspendInconsistentStateException""".split():
    setattr(errors, name, type(name, (DrmaaException,), {}))

def call(name, *arguments, ids=()):
    with open(HERE / "calls", "a") as calls:
        print(name, *arguments, file=calls)
    script = HERE / name
    if script.exists():
        exec(script.read_text())

def fail(name, text=""):
    raise getattr(errors, name)(f"code 1: {text}")

class JobControlAction:
    HOLD, RELEASE, SUSPEND, RESUME, TERMINATE = "HOLD RELEASE SUSPEND RESUME TERMINATE".split()

class Template:
    pass

class JobTemplate:
    PARAMETRIC_INDEX = "$drmaa_incr_ph$"

class Session:
    drmsInfo = "fake 1"
    drmaaImplementation = "fake"
    version = (1, 0)

    def initialize(self):
        call("initialize")

    def exit(self):
        call("exit")

    def createJobTemplate(self):
        return Template()

    def deleteJobTemplate(self, template):
        call("delete")

    def runJob(self, template):
        call("run", *(f"{key}={value}" for key, value in sorted(vars(template).items())))
        answer = HERE / "id"
        return answer.read_text() if answer.exists() else "17"

    def runBulkJobs(self, template, first, last, step):
        ids = [f"17.{index}" for index in range(first, last + 1, step)]
        facts = " ".join(f"{key}={value}" for key, value in sorted(vars(template).items()))
        call("bulk", first, last, step, facts, ids=ids)
        return ids

    def jobStatus(self, job):
        call("status", job)
        state = HERE / f"state-{job}"
        if not state.exists():
            fail("InvalidJobException", "no such job")
        return state.read_text()

    def control(self, job, action):
        call("control", action, job)
        self.jobStatus(job)

call("import")
'''

SEGV = "os.kill(os.getpid(), signal.SIGSEGV)"
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "time.sleep(600)"
ABORT = "os.abort()"
QUIT = "os._exit(0)"


class NoCommands(Channel):
    """A host without the batch system's commands."""

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        raise CommandMissing(f"{argv[0]}: not installed", argv)


class Commands(Channel):
    """Answers qstat with these states, and notes what else is asked."""

    def __init__(self, **states: str) -> None:
        self.states = states
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        if argv[0] != "qstat":
            self.asked.append(" ".join(argv))
            return Completed(0, "", "")
        rows = "".join(
            f"<job_list><JB_job_number>{name[1:]}</JB_job_number><JB_name>t</JB_name>"
            f"<state>{state}</state></job_list>"
            for name, state in self.states.items()
        )
        return Completed(0, f"<?xml version='1.0'?>\n<job_info>{rows}</job_info>", "")


class Library:
    """The fake library, and schedulers that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "drmaa.py").write_text(FAKE)
        self.schedulers: list[DrmaaScheduler] = []

    def will(self, call: str, code: str) -> None:
        (self.folder / call).write_text(code)

    def behaves(self, call: str) -> None:
        (self.folder / call).unlink()

    def says(self, job: str, state: str) -> None:
        (self.folder / f"state-{job}").write_text(state)

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def scheduler(self, channel: Channel | None = None, timeout: float = 120) -> DrmaaScheduler:
        environment = {"PYTHONPATH": f"{self.folder}:{ROOT}", "FAKE_DRMAA": str(self.folder)}
        helper = Helper(self.folder / "libdrmaa.so", environment, timeout=timeout)
        commands = CommandScheduler(GridEngineDialect(), channel or NoCommands())
        self.schedulers.append(DrmaaScheduler(helper, commands))
        return self.schedulers[-1]


def on_slurm(library: Library, channel: Channel) -> DrmaaScheduler:
    helper = library.scheduler().helper
    return DrmaaScheduler(helper, CommandScheduler(SlurmDialect(), channel))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path)
    yield library
    for scheduler in library.schedulers:
        scheduler.close()
        assert scheduler.helper.pid is None


JOB = BatchJob("tname", "", "/log/file", path="/jobs/1/script.sh")


# --- a helper that ends


@pytest.mark.parametrize(
    ("fault", "words"),
    [(SEGV, "SIGSEGV"), (KILL, "SIGKILL"), (ABORT, "SIGABRT"), (QUIT, "exit code 0")],
)
def test_submission_during_which_the_library_ends_its_process_is_uncertain_and_the_next_one_works(
    library: Library, fault: str, words: str
) -> None:
    scheduler = library.scheduler()
    library.will("run", fault)
    with pytest.raises(SubmissionUncertain, match=words):
        scheduler.submit(JOB)
    library.behaves("run")
    assert scheduler.submit(JOB) == ["17"]


@pytest.mark.parametrize("fault", [SEGV, KILL])
def test_states_asked_of_a_library_that_ends_its_process_are_no_answer_and_the_next_ones_are(
    library: Library, fault: str
) -> None:
    scheduler = library.scheduler()
    library.says("1", "running")
    library.will("status", fault)
    with pytest.raises(SchedulerUnavailable, match="SIG"):
        scheduler.poll(["1"])
    library.behaves("status")
    assert scheduler.poll(["1"])["1"].phase is Phase.RUNNING


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_helper_killed_between_two_calls_is_started_again(
    library: Library, number: signal.Signals
) -> None:
    scheduler = library.scheduler()
    scheduler.submit(JOB)
    first = scheduler.helper.pid
    assert first is not None
    os.kill(first, number)
    wait_for(lambda: scheduler.helper.pid is None, "the helper ends")
    assert scheduler.submit(JOB) == ["17"]
    assert scheduler.helper.pid not in (None, first)


def test_one_session_serves_many_calls(library: Library) -> None:
    scheduler = library.scheduler()
    for _ in range(3):
        scheduler.submit(JOB)
        scheduler.poll(["1"])
    assert library.calls.count("initialize") == 1


@pytest.mark.parametrize("call", ["run", "status", "control"])
def test_call_that_hangs_is_given_up_and_its_process_killed(
    library: Library, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    scheduler = library.scheduler()
    library.says("1", "running")
    scheduler.poll(["1"])
    library.will(call, HANG)
    ask: dict[str, Callable[[], object]] = {
        "run": lambda: scheduler.submit(JOB),
        "status": lambda: scheduler.poll(["1"]),
        "control": lambda: scheduler.cancel(["1"]),
    }
    start = time.monotonic()
    with monkeypatch.context() as patch:  # an interpreter's start may take longer
        patch.setattr(scheduler.helper, "_timeout", 1)
        with pytest.raises(SchedulerUnavailable, match="within 1 s") as trouble:
            ask[call]()
    assert time.monotonic() - start < 60
    assert isinstance(trouble.value, SubmissionUncertain) == (call == "run")
    assert scheduler.helper.pid is None
    library.behaves(call)
    assert scheduler.submit(JOB) == ["17"]


def test_what_the_library_prints_is_no_answer(library: Library) -> None:
    scheduler = library.scheduler()
    noise = "print('noise', flush=True); os.write(1, b'{\"id\": \"666\"}\\n')"
    for call in ("import", "initialize", "run"):
        library.will(call, noise)
    assert [scheduler.submit(JOB), scheduler.submit(JOB)] == [["17"], ["17"]]


def test_dispatcher_that_dies_takes_its_helper_with_it(library: Library) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{library.folder}:{ROOT}"}
    environment["FAKE_DRMAA"] = str(library.folder)
    library.will("exit", HANG)
    line = (
        "import os; from pathlib import Path\n"
        "from pywps_hpc.dispatch.schedulers.drmaa import Helper\n"
        "given = {key: os.environ[key] for key in ('PYTHONPATH', 'FAKE_DRMAA')}\n"
        "helper = Helper(Path('/lib.so'), given); helper.ask('status', ids=[])\n"
        "print(helper.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", line], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    wait_for(lambda: ended(pid), "the helper ends")
    assert "exit" in library.calls


def test_library_that_hangs_when_its_session_ends_does_not_hold_up_the_dispatcher(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = library.scheduler()
    library.will("exit", HANG)
    scheduler.submit(JOB)
    pid = scheduler.helper.pid
    process = scheduler.helper._process
    assert process is not None
    wait = process.wait

    def wait_once_it_hangs(timeout: float | None = None) -> int:
        wait_for(lambda: library.calls[-1] == "exit", "the helper takes leave")
        return wait(timeout)

    monkeypatch.setattr(process, "wait", wait_once_it_hangs)
    start = time.monotonic()
    scheduler.close()
    assert time.monotonic() - start < 100
    assert pid is not None
    assert ended(pid)
    assert library.calls[-1] == "exit"


# --- submission


def test_job_is_one_script_without_arguments_and_environment(library: Library) -> None:
    scheduler = library.scheduler()
    scheduler.submit(JOB)
    (run,) = (call for call in library.calls if call.startswith("run "))
    native = scheduler.commands.dialect.native_specification(JOB)
    assert run == (
        f"run jobName=tname joinFiles=True nativeSpecification={native} outputPath=:/log/file "
        "remoteCommand=/jobs/1/script.sh workingDirectory=/"
    )


def test_script_takes_the_place_of_the_shell_that_slurm_drmaa_puts_before_it(
    library: Library,
) -> None:
    scheduler = on_slurm(library, NoCommands())
    scheduler.submit(replace(JOB, path="/jobs/an other/script.sh"))
    (run,) = (call for call in library.calls if call.startswith("run "))
    assert "remoteCommand=exec '/jobs/an other/script.sh'" in run


def test_log_is_where_it_is_said_to_be_though_slurm_reads_patterns_in_its_path(
    library: Library,
) -> None:
    scheduler = on_slurm(library, NoCommands())
    scheduler.submit(replace(JOB, log="/jobs/50%j/log"))
    scheduler.submit(replace(JOB, log="/jobs/50%j", array_indices=(1, 2)))
    run, bulk = (call for call in library.calls if call.startswith(("run ", "bulk ")))
    assert "outputPath=:/jobs/50%%j/log " in run
    assert "outputPath=:/jobs/50%%j/log-$drmaa_incr_ph$ " in bulk


def test_value_that_the_library_cannot_read_is_refused(library: Library) -> None:
    with pytest.raises(SubmissionRefused, match="a,b"):
        library.scheduler().submit(replace(JOB, comment="a,b"))


def test_empty_id_is_no_success(library: Library) -> None:
    library.will("id", "")
    with pytest.raises(SubmissionUncertain, match="empty job id"):
        library.scheduler().submit(JOB)


@pytest.mark.parametrize(
    ("kind", "words", "meaning"),
    [
        ("DeniedByDrmException", "no such queue", SubmissionRefused),
        ("DeniedByDrmException", "the moon is full", SubmissionPostponed),
        ("InternalException", "job rejected: no such project", SubmissionRefused),
        ("InvalidAttributeValueException", "bad option", SubmissionRefused),
        ("InvalidArgumentException", "", SubmissionRefused),
        ("AuthorizationException", "not you", SubmissionRefused),
        ("DeniedByDrmException", "only 5 jobs are allowed per user", SubmissionPostponed),
        ("TryLaterException", "busy", SubmissionPostponed),
        ("NoActiveSessionException", "", SubmissionPostponed),
        ("DeniedByDrmException", "unable to contact qmaster", SubmissionUncertain),
        ("DrmCommunicationException", "no connection", SubmissionUncertain),
        ("InternalException", "", SubmissionUncertain),
        ("OutOfMemoryException", "", SubmissionUncertain),
        ("DrmaaException", "code 99", SubmissionUncertain),
    ],
)
def test_exception_of_the_library_becomes_the_answer_that_it_means(
    library: Library, kind: str, words: str, meaning: type[SchedulerError]
) -> None:
    library.will("run", f"fail({kind!r}, {words!r})")
    with pytest.raises(SchedulerError) as trouble:
        library.scheduler().submit(JOB)
    assert type(trouble.value) is meaning
    assert (words or kind)[:20] in str(trouble.value)
    assert kind in trouble.value.output


def test_script_that_is_missing_is_refused_without_its_path(library: Library) -> None:
    """As Grid Engine's library puts it."""
    path = "/spool/a-job/script.sh"
    words = f"error opening {path}: No such file or directory"
    library.will("run", f"fail('DeniedByDrmException', {words!r})")
    with pytest.raises(SubmissionRefused) as trouble:
        library.scheduler().submit(replace(JOB, path=path))
    assert str(trouble.value) == "the job's script is missing"
    assert words in trouble.value.output
    with pytest.raises(SubmissionPostponed):  # somebody else's file
        library.scheduler().submit(replace(JOB, path="/spool/other/script.sh"))


def on_torque(library: Library, channel: Channel) -> DrmaaScheduler:
    helper = library.scheduler().helper
    return DrmaaScheduler(helper, CommandScheduler(TorqueDialect(), channel))


def test_refusal_in_other_words_than_those_of_the_command_is_one(library: Library) -> None:
    """As pbs-drmaa puts it."""
    words = "Unknown queue: Unknown queue MSG=requested queue not found"
    library.will("run", f"fail('InvalidAttributeValueException', {words!r})")
    with pytest.raises(SubmissionRefused, match="requested queue not found"):
        on_torque(library, NoCommands()).submit(JOB)


@pytest.mark.parametrize("kind", ["InternalException", "DrmCommunicationException"])
@pytest.mark.parametrize(
    "words",
    [
        "Cannot connect to specified server: Cannot connect to specified server host 'trq1'",
        "pbs_connect: Connection refused",
    ],
)
def test_job_that_no_server_heard_of_was_certainly_not_taken(
    library: Library, kind: str, words: str
) -> None:
    library.will("run", f"fail({kind!r}, {words!r})")
    with pytest.raises(SubmissionPostponed) as trouble:
        on_torque(library, NoCommands()).submit(JOB)
    assert not trouble.value.answered


def test_queue_under_maintenance_is_waited_for_in_the_words_of_any_library(
    library: Library,
) -> None:
    words = "Queue is not enabled: Queue is not enabled MSG=queue is disabled"
    for kind in ("InvalidAttributeValueException", "DeniedByDrmException", "InternalException"):
        library.will("run", f"fail({kind!r}, {words!r})")
        with pytest.raises(SubmissionPostponed, match="Queue is not enabled") as trouble:
            on_torque(library, NoCommands()).submit(JOB)
        assert trouble.value.answered
        assert trouble.value.passing


def test_job_of_torque_that_is_over_needs_no_control(library: Library) -> None:
    """As pbs-drmaa puts it."""
    library.says("1.vm", "running")
    words = "Request invalid for state of job: Request invalid for state of job MSG=invalid state"
    library.will("control", f"fail('InternalException', {words + ' for job - COMPLETE'!r})")
    scheduler = on_torque(library, NoCommands())
    scheduler.cancel(["1.vm"])
    scheduler.pause(["1.vm"])
    assert "control TERMINATE 1.vm" in library.calls


def test_libraries_of_torque_make_no_arrays(library: Library) -> None:
    assert not on_torque(library, NoCommands()).arrays
    assert on_slurm(library, NoCommands()).arrays


def test_error_that_is_no_exception_of_the_library_leaves_it_open_whether_the_job_was_taken(
    library: Library,
) -> None:
    library.will("run", "raise UnicodeDecodeError('ascii', b'\\xff', 0, 1, 'what an id')")
    with pytest.raises(SubmissionUncertain, match="what an id"):
        library.scheduler().submit(JOB)


def test_job_that_was_taken_counts_whatever_happens_afterwards(library: Library) -> None:
    library.will("delete", "fail('InternalException', 'no such template')")
    assert library.scheduler().submit(JOB) == ["17"]


def test_array_is_one_call_and_its_elements_are_known_by_their_indices(library: Library) -> None:
    array = replace(JOB, log="/spool/arrays/a1", array_indices=(2, 3, 5))
    assert library.scheduler().submit(array) == ["17.2", "17.3", "17.5"]
    (call,) = [call for call in library.calls if call.startswith("bulk ")]
    assert call.startswith("bulk 2 5 1 ")
    assert "outputPath=:/spool/arrays/a1/log-$drmaa_incr_ph$" in call


def test_array_of_which_not_every_element_has_an_id_is_uncertain(library: Library) -> None:
    library.will("bulk", "ids.pop()")
    with pytest.raises(SubmissionUncertain):
        library.scheduler().submit(replace(JOB, array_indices=(1, 2)))


# --- states and control


@pytest.mark.parametrize(("word", "status"), STATES.items())
def test_every_state_of_drmaa_is_understood(library: Library, word: str, status: JobStatus) -> None:
    library.says("1", word)
    assert library.scheduler().poll(["1"]) == {"1": status}
    assert status.outcome in (None, Outcome.UNKNOWN)  # never a success


def test_state_that_nobody_knows_counts_as_alive(library: Library) -> None:
    library.says("1", "thinking")
    status = library.scheduler().poll(["1"])["1"]
    assert (status.phase, status.detail) == (Phase.RUNNING, "thinking")


def test_job_that_the_library_does_not_know_is_missing(library: Library) -> None:
    library.says("2", "running")
    assert list(library.scheduler().poll(["1", "2"])) == ["2"]


def test_library_that_cannot_ask_about_one_job_says_nothing_about_any(library: Library) -> None:
    library.says("1", "running")
    library.will("status", "'2' in arguments and fail('DrmCommunicationException', 'lost it')")
    with pytest.raises(SchedulerUnavailable, match="lost it"):
        library.scheduler().poll(["1", "2"])


def test_commands_of_the_batch_system_answer_for_it_where_they_are_installed(
    library: Library,
) -> None:
    library.says("1", "running")
    scheduler = library.scheduler(Commands(_1="Eqw"))
    assert scheduler.poll(["1"])["1"].hopeless
    assert not (library.folder / "calls").exists()


def test_commands_that_do_not_answer_are_not_replaced_by_the_library(library: Library) -> None:
    class Down(Channel):
        def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
            return Completed(1, "", "error: commlib error: got select error (Connection refused)")

    library.says("1", "done")
    with pytest.raises(SchedulerUnavailable, match="commlib"):
        library.scheduler(Down()).poll(["1"])


def test_many_jobs_are_asked_about_in_calls_of_limited_length(library: Library) -> None:
    ids = [str(number) for number in range(2 * CHUNK + 1)]
    for job in ids:
        library.says(job, "queued_active")
    assert set(library.scheduler().poll(ids)) == set(ids)


@pytest.mark.parametrize(
    ("state", "pause", "resume"),
    [
        ("queued_active", "HOLD", ""),
        ("running", "SUSPEND", ""),
        ("user_on_hold", "", "RELEASE"),
        ("user_suspended", "", "RESUME"),
        ("done", "", ""),
    ],
)
def test_pause_and_resume_do_what_the_state_of_the_job_needs(
    library: Library, state: str, pause: str, resume: str
) -> None:
    scheduler = library.scheduler()
    library.says("1", state)
    for do, action in ((scheduler.pause, pause), (scheduler.resume, resume)):
        (library.folder / "calls").unlink(missing_ok=True)
        do(["1"])
        made = [call for call in library.calls if call.startswith("control")]
        assert made == ([f"control {action} 1"] if action else [])


def test_suspension_that_the_library_only_claims_is_done_by_the_command(library: Library) -> None:
    commands = Commands(_1="r", _2="qw")
    library.says("1", "running")
    library.says("2", "queued_active")
    library.scheduler(commands).pause(["1", "2"])
    assert [call for call in library.calls if "control" in call] == [
        "control SUSPEND 1",
        "control HOLD 2",
    ]
    assert commands.asked == ["qmod -sj 1", "qhold 2"]


class Queue(Channel):
    """Answers squeue with these rows, and notes what else is asked."""

    def __init__(self, *rows: str) -> None:
        self.rows = ("JOBID|STATE|REASON|NAME", *(f"{row}|t1" for row in rows))
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float) -> Completed:
        if argv[0] != "squeue":
            self.asked.append(" ".join(argv))
            return Completed(0, "", "")
        return Completed(0, "".join(f"pywps-hpc|{row}|end\n" for row in self.rows), "")


def test_one_element_of_an_array_is_held_by_the_command_where_the_library_would_hold_them_all(
    library: Library,
) -> None:
    queue = Queue("7_1|PENDING|Resources", "7_2|PENDING|Resources", "8|PENDING|Resources")
    library.says("8", "queued_active")
    on_slurm(library, queue).pause(["7_1", "8"])
    assert [call for call in library.calls if "control" in call] == ["control HOLD 8"]
    assert queue.asked == ["scontrol hold 7_1,8"]


def test_one_held_element_of_an_array_is_released_by_the_command(library: Library) -> None:
    queue = Queue("7_1|PENDING|JobHeldUser", "7_2|PENDING|JobHeldUser")
    on_slurm(library, queue).resume(["7_1"])
    assert queue.asked == ["scontrol release 7_1"]
    assert not (library.folder / "calls").exists()


def test_one_element_of_an_array_is_not_held_where_there_is_only_the_library_and_says_so(
    library: Library,
) -> None:
    scheduler = on_slurm(library, NoCommands())
    library.says("7_1", "queued_active")
    library.says("7_2", "running")
    with pytest.raises(NotPermitted, match="as a whole only"):
        scheduler.pause(["7_1", "7_2"])
    assert [call for call in library.calls if "control" in call] == ["control SUSPEND 7_2"]


def test_job_of_another_session_that_the_library_does_not_know_is_cancelled_by_the_command(
    library: Library,
) -> None:
    commands = Commands()
    library.says("1", "running")
    library.scheduler(commands).cancel(["1", "2"])
    assert commands.asked == ["qdel 2"]


def test_cancelling_what_is_unknown_is_no_error_without_commands(library: Library) -> None:
    library.scheduler().cancel(["1"])
    assert "control TERMINATE 1" in library.calls


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("AuthorizationException", NotPermitted),
        ("DrmCommunicationException", SchedulerUnavailable),
        ("DeniedByDrmException", SchedulerError),
    ],
)
def test_control_that_fails_for_one_job_says_why_and_the_others_are_done(
    library: Library, kind: str, meaning: type[SchedulerError]
) -> None:
    for job in ("1", "2"):
        library.says(job, "running")
    library.will("control", f"'1' in arguments and fail({kind!r}, 'cannot')")
    with pytest.raises(SchedulerError, match="cannot") as trouble:
        library.scheduler().cancel(["1", "2"])
    assert type(trouble.value) is meaning
    assert "status 2" in library.calls


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("SuspendInconsistentStateException", "not running"),
        ("InternalException", 'job "1" does not exist'),
    ],
)
def test_control_of_a_job_that_has_moved_on_is_no_error(
    library: Library, kind: str, words: str
) -> None:
    library.says("1", "running")
    library.will("control", f"fail({kind!r}, {words!r})")
    library.scheduler().pause(["1"])
    assert "control SUSPEND 1" in library.calls


# --- a library that does not start

STATIC_TLS = (
    "/usr/lib/libjemalloc.so.2: cannot allocate memory in static TLS block",
    "GLIBC_TUNABLES",
)


@pytest.mark.parametrize(
    ("call", "code", "problem", "remedy"),
    [
        ("import", f"raise OSError({STATIC_TLS[0]!r})", *STATIC_TLS),
        (
            "import",
            "raise OSError('libdrmaa.so: cannot open shared object file: No such file')",
            "cannot open shared object",
            "drmaa_library must name",
        ),
        (
            "import",
            "raise ImportError(\"No module named 'drmaa'\")",
            "No module named 'drmaa'",
            r"pip install 'pywps-hpc\[drmaa\]'",
        ),
        (
            "initialize",
            "fail('InternalException', 'Please set the environment variable SGE_ROOT.')",
            "Please set",
            "SGE_ROOT and SGE_CELL in .hpc. command_environment",
        ),
        (
            "initialize",
            "fail('InternalException', 'cell directory \"/x\" does not exist')",
            "cell directory",
            "SGE_ROOT and SGE_CELL",
        ),
        (
            "initialize",
            "fail('DrmCommunicationException', 'unable to send message to qmaster')",
            "unable to send",
            "is sge_qmaster running",
        ),
        ("initialize", "fail('InternalException', 'nonsense')", "nonsense", ""),
        ("initialize", SEGV, "SIGSEGV while it opened", "is the batch system's server running"),
    ],
)
def test_library_that_does_not_start_is_told_with_its_remedy(
    library: Library, call: str, code: str, problem: str, remedy: str
) -> None:
    scheduler = library.scheduler()
    library.will(call, code)
    with pytest.raises(SubmissionPostponed, match=problem) as trouble:
        scheduler.submit(JOB)
    trouble.match(remedy)
    with pytest.raises(SchedulerUnavailable, match=problem):
        scheduler.poll(["1"])
    library.behaves(call)
    assert scheduler.submit(JOB) == ["17"]


def test_library_that_hangs_at_its_start_is_given_up_and_no_job_was_handed_over(
    library: Library,
) -> None:
    scheduler = library.scheduler(timeout=1)
    library.will("initialize", HANG)
    with pytest.raises(SubmissionPostponed, match="within 1 s"):
        scheduler.submit(JOB)


def test_missing_binding_is_told_with_its_remedy(library: Library) -> None:
    (library.folder / "drmaa.py").write_text("import drmaa_that_is_missing as drmaa")
    scheduler = library.scheduler()
    with pytest.raises(SubmissionPostponed, match="No module named 'drmaa"):
        scheduler.submit(JOB)


def test_interpreter_that_cannot_be_started_is_no_submission(library: Library) -> None:
    scheduler = library.scheduler()
    scheduler.helper.argv = ["/nowhere/python"]
    with pytest.raises(SubmissionPostponed, match="/nowhere/python"):
        scheduler.submit(JOB)


def test_secrets_of_the_dispatcher_do_not_reach_the_library(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    library.will("initialize", "(HERE / 'environment').write_text(repr(dict(os.environ)))")
    library.scheduler().submit(JOB)
    environment = (library.folder / "environment").read_text()
    assert "s3cret" not in environment
    assert f"'DRMAA_LIBRARY_PATH': '{library.folder}/libdrmaa.so'" in environment


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class CrashesOn:
    """A helper whose library takes it along on some ids."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.told: list[str] = []

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        if self.ids.intersection(request["ids"]):
            raise HelperFailed("the library crashed", asked=True)
        self.told += request["ids"] if do == "control" else []
        states = dict.fromkeys(request["ids"], "running")
        return {"states": states, "unknown": [], "errors": {}}


def test_id_that_crashes_the_library_is_found_and_the_others_are_answered() -> None:
    helper = CrashesOn("107.vm")
    scheduler = DrmaaScheduler(helper, CommandScheduler(TorqueDialect(), NoCommands()))  # type: ignore[arg-type]
    ids = [f"{number}.vm" for number in range(100, 350)]
    for _ in range(4):
        answer = scheduler.poll(ids)
    assert answer.keys() == set(ids) - {"107.vm"}
    assert scheduler.unasked == {"107.vm"}
    for _ in range(4):
        with pytest.raises(SchedulerError):
            scheduler.cancel(ids)
    assert set(helper.told) == set(ids) - {"107.vm"}
