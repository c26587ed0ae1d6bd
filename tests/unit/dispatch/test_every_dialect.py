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
