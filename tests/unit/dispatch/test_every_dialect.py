"""What holds for the dialect of every batch system, each in its own words."""

from __future__ import annotations

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dialects
from pywps_hpc.dispatch.schedulers.base import BatchJob, SubmissionPostponed
from pywps_hpc.dispatch.schedulers.dialects import DIALECTS

#: What the header says of a job that may not, or may, be started again.
REQUEUE = {
    "slurm": ("#SBATCH --no-requeue", "#SBATCH --requeue"),
    "gridengine": ("#$ -r n", "#$ -r y"),
    "torque": ("#PBS -r n", "#PBS -r y"),
    "openpbs": ("#PBS -r n", "#PBS -r y"),
}
#: What is left to the site where nothing is asked for.
LEFT_OUT = {
    "slurm": ("--partition", "--account", "--gres", "--comment"),
    "gridengine": ("-pe", "-q ", "-A", "gpu", "-ac", "-V"),
    "torque": ("-q", "-A", "gpus", "-V"),
    "openpbs": ("-q", "-A", "gpus", "-V"),
}
#: How a submission is turned down, and reasons that nobody knows to be final.
TURNED_DOWN = {
    "slurm": (
        "sbatch: error: Batch job submission failed: {}\n",
        ["the moon is full", "Unspecified error", "Invalid user id", "Slurm internal error, …"],
        "Slurm",
    ),
    "gridengine": ("Unable to run job: {}.\nExiting.\n", ["the moon is full"], "Grid Engine"),
    "torque": (
        "qsub: submit error ({})\n",
        ["the moon is full", "Bad UID for job execution"],
        "TORQUE",
    ),
    "openpbs": ("qsub: {}\n", ["the moon is full", "Bad UID for job execution"], "OpenPBS"),
}
#: Reasons that are known to pass.
PASSING = {
    "slurm": [
        "I/O error writing script/environment to file",
        "Required partition not available (inactive or drain)",
        "Requested partition configuration not available now",
        "Partition in DOWN state",
        "Required node not available (down, drained or reserved)",
        "System submissions disabled",
        "Requested operation is presently disabled",
        "MaxJobCount limit reached",
        "Disk quota exceeded",
        "No space left on device",
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "Licenses currently unavailable",
        "Requested reservation not usable now",
    ],
    "gridengine": [
        'denied: host "web1" is no submit host',
        'denied: host "web1" is not a submit host',
        'denied: host "web1" is neither submit nor admin host',
        "job rejected: only 100 jobs are allowed per cluster",
        'JSV "/opt/jsv" temporarily rejected job',
        "job 7 was rejected because it can't be written: No space left on device",
        "job 7 was rejected because it couldn't be written",
    ],
    "torque": [
        "Queue is not enabled",
        "Queue is currently not available",
        "Maximum number of jobs already in queue for user",
        "Error saving file",
        "Error writing file MSG=No space left on device",
        "Server has no node list",
        "This queue had errors during its recovery. Please correct any settings",
    ],
}
#: Messages of a command that could not ask its server.
CANNOT_ASK = {
    "slurm": [
        "Slurm backup controller in standby mode",
        "Controller is in standby mode, try a different controller",
        "Connection reset by peer",
        "No route to host",
        "Network is unreachable",
        "Message receive failure",
        "Invalid authentication credential",
        "Authentication credential expired",
        "Rate limit exceeded, please retry momentarily",
        "Connection forced closed by quiesce timeout",
        "Protocol authentication error",
        "Incompatible versions of client and server code",
    ],
    "gridengine": [
        'unable to contact qmaster using port 6444 on host "head"',
        "error: commlib error: got read error (Connection reset by peer)",
        "got gdi request receive timeout",
        "failed receiving gdi request response for mid=1 (got syncron message receive timeout).",
        'unable to send message to qmaster using port 6444 on host "head": got send error',
        'can\'t resolve hostname "head"',
        "job 7 rejected because authentication failed",
        "No route to host",
    ],
    "torque": [
        "qsub: submit error (Expired credential)",
        "qsub: submit error (Invalid credential)",
        "qsub: submit error (Pbs Server is currently too busy to service this request.)",
        "qsub: cannot connect to server vm (errno=15137) could not connect to trqauthd",
        "qsub: cannot connect to server vm (errno=113) No route to host",
        "qsub: submit error (Request not allowed: Server shutting down)",
        "qsub: submit error (Error reading data from socket)",
    ],
}


def test_tables_are_complete() -> None:
    assert DIALECTS.keys() == REQUEUE.keys() == LEFT_OUT.keys() == TURNED_DOWN.keys()


@pytest.mark.parametrize("system", REQUEUE)
def test_a_job_is_started_again_only_if_the_administrator_says_so(system: str) -> None:
    for requeue, line in enumerate(REQUEUE[system]):
        lines = dialects.header(DIALECTS[system](), resources={"requeue": bool(requeue)})
        assert set(REQUEUE[system]).intersection(lines) == {line}
    assert REQUEUE[system][0] in dialects.header(DIALECTS[system]())


@pytest.mark.parametrize("system", LEFT_OUT)
def test_header_leaves_out_what_the_site_decides(system: str) -> None:
    text = "\n".join(dialects.header(DIALECTS[system]()))
    assert not [option for option in LEFT_OUT[system] if option in text]


@pytest.mark.parametrize("system", ["gridengine", "torque", "openpbs"])
@given(text=st.text())
def test_any_text_stays_one_option_or_is_refused(system: str, text: str) -> None:
    dialects.assert_one_option_or_refused(DIALECTS[system](), text)


@pytest.mark.parametrize(
    ("system", "words"), [(system, one) for system in TURNED_DOWN for one in TURNED_DOWN[system][1]]
)
def test_words_that_are_not_known_to_be_final_are_not(system: str, words: str) -> None:
    form, _, title = TURNED_DOWN[system]
    question = DIALECTS[system]().submit(BatchJob("a1", "", "/d/log"))
    with pytest.raises(SubmissionPostponed) as trouble:
        question.read(1, "", form.format(words))
    assert trouble.value.answered
    assert not trouble.value.passing
    assert str(trouble.value) == f"{title} refused the job: {words}"


@pytest.mark.parametrize(
    ("system", "reason"), [(system, one) for system in PASSING for one in PASSING[system]]
)
def test_trouble_that_passes_is_waited_for(system: str, reason: str) -> None:
    form, _, _ = TURNED_DOWN[system]
    question = DIALECTS[system]().submit(BatchJob("a1", "", "/d/log"))
    with pytest.raises(SubmissionPostponed) as trouble:
        question.read(1, "", form.format(reason))
    assert trouble.value.answered
    assert trouble.value.passing


@pytest.mark.parametrize(
    ("system", "message"), [(system, one) for system in CANNOT_ASK for one in CANNOT_ASK[system]]
)
def test_server_that_cannot_be_asked_is_recognised_in_other_words(
    system: str, message: str
) -> None:
    assert DIALECTS[system].messages.cannot_ask.search(message)


@pytest.mark.parametrize("system", ["torque", "openpbs"])
@pytest.mark.parametrize(
    ("comment", "waits"),
    [
        ("Not Running: Not enough of the right type of nodes", "not enough of the right type"),
        ("Not Running: User has reached server running job limit.", "user has reached server"),
        ("Job run at Sun Nov 22 at 21:23", ""),  # of an earlier start
        ("Not Running:", ""),
        ("", ""),
    ],
)
def test_the_comment_of_a_job_that_waits_says_why(system: str, comment: str, waits: str) -> None:
    states = import_module(f"pywps_hpc.dispatch.schedulers.states.{system}")
    status = states.status({"job_state": "Q", "comment": comment})
    assert status is not None
    assert status.waits.startswith(waits)
    assert bool(status.waits) is bool(waits)
