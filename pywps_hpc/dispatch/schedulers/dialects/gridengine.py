"""Grid Engine's dialect: qsub, qstat, qacct, qdel, qhold, qrls, qmod. Measured on 8.1.9.

The queue is asked as XML, whose closing tag proves that the answer arrived whole. It forgets a job
the moment it ends; accounting (qacct) follows up to 15 s later and is the only one to know how.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

from pywps_hpc.dispatch.schedulers.accounting import Accounted
from pywps_hpc.dispatch.schedulers.base import (
    BatchJob,
    JobStatus,
    NotPermitted,
    Outcome,
    SchedulerError,
    SchedulerUnavailable,
)
from pywps_hpc.dispatch.schedulers.dialect import (
    Action,
    Dialect,
    Drmaa,
    Question,
    turned_down,
)
from pywps_hpc.dispatch.schedulers.messages.gridengine import MESSAGES
from pywps_hpc.dispatch.schedulers.states import gridengine
from pywps_hpc.dispatch.schedulers.states.qacct import accounted
from pywps_hpc.dispatch.schedulers.text import (
    first_line,
    indices,
    job_name,
    parse_indices,
    plain,
    plain_word,
    printed_id,
    read_version,
)

COMMANDS = {
    Action.CANCEL: ("qdel",),
    Action.HOLD: ("qhold",),
    Action.RELEASE: ("qrls",),
    Action.SUSPEND: ("qmod", "-sj"),
    Action.RESUME: ("qmod", "-usj"),
}


# $user stands for whoever asks (qstat(1)); named, since a site's sge_qstat file
# may say otherwise.
# -g d: each element of an array by itself.
_QSTAT = ("qstat", "-xml", "-g", "d", "-u", "$user", "-s")
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SUBMITTED = re.compile(r"(\d+)(\.\d+-\d+:\d+)?")


class GridEngineDialect(Dialect):
    """Grid Engine through its own commands.

    The parallel environment for jobs of several slots is called ``smp``, unless the administrator
    names another one: by the key ``parallel_environment``, or in the extra options (``-pe NAME``,
    without a number). Over how many hosts the slots are spread is its ``allocation_rule``'s to say.
    """

    system = "gridengine"
    messages = MESSAGES
    remedies = (
        ("sge_root", "[hpc] command_environment: set SGE_ROOT, and SGE_CELL if it is not default"),
        ("cell directory", "[hpc] command_environment: set SGE_ROOT and SGE_CELL"),
        ("read qmaster name", "[hpc] command_environment: set SGE_ROOT and SGE_CELL"),
        ("submit nor admin host", "register this host: qconf -as HOST"),
        ("submit host", "register this host: qconf -as HOST"),
        ("qmaster", "is sge_qmaster running, and can this host reach it?"),
    )
    drmaa = Drmaa(
        signs=("sge_root", "cell directory", "qmaster", "grid engine"),
        remedies=(
            ("sge_root", "set SGE_ROOT and SGE_CELL in [hpc] command_environment"),
            ("cell directory", "set SGE_ROOT and SGE_CELL in [hpc] command_environment"),
            (
                "qmaster",
                "is sge_qmaster running, can this host reach it, and is SGE_QMASTER_PORT right?",
            ),
        ),
    )
    index = re.compile(r"\.(\d+)$")
    history_chunk = accounted_chunk = 1  # qacct -j takes one job
    # A suspended job cannot act on the notice before its kill, and the shepherd was seen to lose
    # the kill itself where execd repeated its order just when the notice was over.
    cancels_running = True
    hopeless_waits = frozenset({gridengine.NEVER})

    def header(self, job: BatchJob) -> list[str]:
        # The colon keeps one in the path from ending a host name (qsub(1), -o).
        log = f":{plain_word(job.log, 'log')}" + ("/log-$TASK_ID" if job.array_indices else "")
        lines = [f"-N {job_name(job.name)}", f"-o {log}", "-j y", "-wd /"]
        if job.array_indices:
            lines.append(f"-t {indices(job.array_indices)}")
        return [f"#$ {line}" for line in [*lines, *self._options(job)]]

    def submit(self, job: BatchJob) -> Question[str]:
        return Question(("qsub", "-terse"), read_submitted, stdin=job.script)

    def version(self) -> Question[str]:
        return Question(("qstat", "-help"), read_version)

    def element(self, array: str, array_index: int) -> str:
        return f"{array}.{array_index}"

    def find(self, *names: str) -> Sequence[Question[dict[str, JobStatus]]]:
        # "z": the qmaster remembers the latest jobs that ended, while accounting still lags.
        return (
            Question((*_QSTAT, "prsz"), partial(self._read_named, set(map(job_name, names)))),
            *(Question(("qacct", "-j", name), gridengine.read) for name in names),
        )

    def poll(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        return Question((*_QSTAT, "prs"), self.read_queue)

    def why(self, ids: Sequence[str]) -> Question[Mapping[str, str]]:
        numbers = dict.fromkeys(job.partition(".")[0] for job in ids)
        return Question(("qstat", "-j", ",".join(numbers)), partial(read_reasons, ids))

    def history(self, ids: Sequence[str]) -> Question[dict[str, JobStatus]]:
        (job,) = ids
        # For an element the whole array is asked: the file is read from end to end either way.
        return Question(("qacct", "-j", job.partition(".")[0]), gridengine.read)

    def accounted(self, ids: Sequence[str]) -> Question[Mapping[str, Accounted]]:
        # The whole array for an element, as in history.
        return Question(("qacct", "-j", *(job.partition(".")[0] for job in ids)), accounted)

    def control(
        self, action: Action, ids: Sequence[str], detail: str = ""
    ) -> Sequence[Question[None]]:
        state = detail.partition(" ")[0]
        if action is Action.RESUME and gridengine.IS_BEING_DELETED in state:
            return ()  # measured: one that ignores the notice would then never be killed
        if action is Action.RESUME and state and "s" not in state:
            # qmod -usj would report success and change nothing.
            raise NotPermitted(
                f"Grid Engine: the job is suspended with its queue (state {state}), which only an "
                "operator can resume (qmod -usq)"
            )
        return (Question((*COMMANDS[action], *ids), read_control),)

    def native_specification(self, job: BatchJob) -> str:
        # "-b n": Grid Engine takes a copy of the script when it is submitted, as qsub does, and
        # reads its "#$" lines; later changes to the file do not reach the job.
        return " ".join(("-b n", *self._options(job)))

    def explain(self, log_tail: str) -> Outcome | None:
        return gridengine.explain(log_tail)

    def read_queue(self, returncode: int, stdout: str, stderr: str) -> dict[str, JobStatus]:
        """qstat's answer; all jobs of this user."""
        return {
            job: replace(self._listed(state), name=name)
            for job, name, state in _rows(returncode, stdout, stderr)
        }

    def _read_named(
        self, names: Collection[str], returncode: int, stdout: str, stderr: str
    ) -> dict[str, JobStatus]:
        found = self.read_queue(returncode, stdout, stderr)
        return {job: status for job, status in found.items() if status.name in names}

    def _listed(self, state: str) -> JobStatus:
        return gridengine.listed(state) or self.unknown_state(state)

    def _options(self, job: BatchJob) -> Iterator[str]:
        need = job.resources
        environment, extra = need.parallel_environment or "smp", []
        for option in need.extra:
            arguments = plain(option, "extra option").split()
            if len(arguments) == 2 and arguments[0] == "-pe":
                environment = arguments[1]
            else:
                extra.append(option)
        yield "-S /bin/bash"
        yield "-r y" if need.requeue else "-r n"
        # Without it a kill comes without a warning (qsub(1), -notify).
        yield "-notify"
        yield "-m n"
        # Limits count for each slot (queue_conf(5), RESOURCE LIMITS).
        yield f"-l h_rt={need.walltime:d},h_vmem={-(-need.memory // need.cpus_per_node):d}M"
        slots = need.nodes * need.cpus_per_node
        if slots > 1:
            yield f"-pe {plain_word(environment, 'parallel environment')} {slots:d}"
        if need.gpus:
            yield f"-l gpu={need.gpus:d}"
        if need.queue:
            yield f"-q {plain_word(need.queue, 'queue')}"
        if need.account:
            yield f"-A {plain_word(need.account, 'account')}"
        if need.reservation:
            yield f"-ar {plain_word(need.reservation, 'reservation')}"
        yield from (f"-l {name}={number:d}" for name, number in need.licenses)
        if job.comment:
            yield f"-ac comment={plain_word(job.comment, 'comment')}"
        yield from extra


def read_submitted(returncode: int, stdout: str, stderr: str) -> str:
    """The id that qsub -terse printed last; warnings stand before it, on standard output."""
    if returncode != 0:
        reason = first_line(stderr).removeprefix("Unable to run job: ").removesuffix(".")
        if not reason:
            raise SchedulerUnavailable(f"qsub ended with {returncode} and no message")
        raise turned_down("Grid Engine", reason, stderr, MESSAGES)
    return printed_id("qsub", stdout, _SUBMITTED)


def read_control(returncode: int, stdout: str, stderr: str) -> None:
    """The answer of qdel and its like, a line for each job: "it is over" is no error."""
    if returncode == 0:
        return
    if silent := MESSAGES.cannot_ask.search(stdout):  # qdel puts half of its complaint there
        raise SchedulerUnavailable(f"gridengine cannot be reached: {silent.group()}")
    lines = [line.strip() for line in f"{stdout}\n{stderr}".splitlines() if line.strip()]
    grave = [line for line in lines if not MESSAGES.gone.search(line)]
    if any(MESSAGES.forbidden.search(line) for line in grave):
        raise NotPermitted(
            f"Grid Engine: {'; '.join(grave)} (the owner may do this on an administrative host, "
            "an operator on any host)"
        )
    if grave or not lines:
        raise SchedulerError(f"Grid Engine: {'; '.join(grave) or f'exit status {returncode}'}")


def read_reasons(
    ids: Sequence[str], returncode: int, stdout: str, stderr: str
) -> Mapping[str, str]:
    """``qstat -j``: the scheduler's remarks on each job, where schedd_job_info is on
    (sched_conf(5)). A number that is gone fails the question, and tells nothing of the others."""
    found: dict[str, str] = {}
    number, remarks = "", ""
    for line in stdout.splitlines():
        name, colon, value = line.partition(":")
        if colon and name == "job_number":
            number, remarks = value.strip(), ""
        elif number and (name == "scheduling info" or (remarks and line.startswith(" "))):
            remarks += (value if name == "scheduling info" else line) + "\n"
            found[number] = gridengine.why(remarks)
    return {job: found.get(job.partition(".")[0], "") for job in ids}


def _rows(returncode: int, stdout: str, stderr: str) -> Iterator[tuple[str, str, str]]:
    """Id, name and state of each job; a login shell's banner may stand around the XML."""
    if returncode != 0:
        raise SchedulerUnavailable(f"qstat failed: {first_line(stderr) or returncode}")
    _, found, rest = stdout.partition("<?xml")
    document, end, _ = rest.rpartition("</job_info>")
    if not found or not end:
        raise SchedulerUnavailable("qstat's answer is cut off")
    try:
        # What XML cannot hold may stand in the name of some other job of this account.
        root = ElementTree.fromstring(_NO_XML.sub("\ufffd", f"{found}{document}{end}"))
    except ElementTree.ParseError as error:
        raise SchedulerUnavailable(f"qstat's answer is not XML: {error}") from error
    if root.tag != "job_info":  # no job of it would be found
        raise SchedulerUnavailable(f"qstat's answer is another document: {root.tag}")
    for job in root.iter("job_list"):
        number, name, state = (job.findtext(tag) for tag in ("JB_job_number", "JB_name", "state"))
        if not number or not name or not state:
            raise SchedulerUnavailable("qstat's answer has a job without number, name or state")
        tasks = job.findtext("tasks")
        # Elements that ended share a row: 1,3,4-6:1.
        ids = [f"{number}.{task}" for task in parse_indices(tasks)] if tasks else [number]
        for native_id in ids:
            yield native_id, name, state


DIALECT = GridEngineDialect
