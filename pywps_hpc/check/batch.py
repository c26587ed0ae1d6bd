"""The batch system: whether it answers, and what it allows."""

from __future__ import annotations

import getpass
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

from pywps_hpc.check import dispatcher, limits, pilots
from pywps_hpc.check.asked import Asked, asked, most_asked
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, error, ok, warning
from pywps_hpc.dispatch.schedulers.base import Phase, Scheduler, SchedulerError
from pywps_hpc.dispatch.schedulers.command import CommandScheduler
from pywps_hpc.dispatch.schedulers.local import LocalScheduler
from pywps_hpc.dispatch.schedulers.registry import environment_of, make_scheduler
from pywps_hpc.dispatch.schedulers.sites import questions_of
from pywps_hpc.dispatch.schedulers.sites.model import Site, joined
from pywps_hpc.dispatch.scripts.script import ANY_JOB, Scripts
from pywps_hpc.dispatch.watch import Watch
from pywps_hpc.jobs import ACTIVE, Job, JobStore, TableUnavailable
from pywps_hpc.settings import Resources, Settings
from pywps_hpc.timing import TIMING


def scheduler_of(own: Settings, place: Path) -> Scheduler:
    """The batch system, with its own state for ``local``.

    Args:
        place: a folder that the check removes again.

    Raises:
        SettingsError: it cannot be used.
    """
    if own.scheduler == "local":
        return LocalScheduler(place, cpus=own.slots or None, environment=environment_of(own))
    return make_scheduler(own)


def user_of(own: Settings) -> str:
    """The account by which jobs are submitted."""
    if own.channel == "ssh":
        return own.ssh.user
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


def reach(own: Settings, scheduler: Scheduler) -> Finding:
    """Whether it answers."""
    watch = Watch(own, scheduler, time.time)
    watch.ask()
    if not watch.trouble:
        return ok("batch system", f"{watch.reach.system or own.scheduler} answers")
    problem, _, advice = watch.trouble.partition(" — ")
    for verb in ("install ", "give it "):
        if not advice and f": {verb}" in problem:
            problem, _, advice = problem.partition(f": {verb}")
            advice = verb + advice
    subject = "batch system"
    if own.channel == "ssh":
        subject, problem, advice = _of_ssh(problem, advice)
    for key in ("command_environment", "command_path", "drmaa_library", "system", "channel"):
        if f"[hpc] {key}" in watch.trouble:
            subject = f"[hpc] {key}"
            break
    return error(subject, problem, advice or _advice(own))


#: Words of why a login host does not let us in -> the key that it is about, and what to do.
_OF_SSH = (
    (
        "not a private key without a passphrase",
        "key",
        "make one for the service alone (ssh-keygen -t ed25519), or take the passphrase away: "
        "ssh-keygen -p -f KEY",
    ),
    ("its key is unknown", "known_hosts", ""),
    ("its key has changed", "known_hosts", ""),
    ("known_hosts", "known_hosts", ""),
    ("refused", "host, port", "correct them, or have the login host's sshd started"),
    ("name or service", "host", "correct the name, or name an address"),
    ("authentic", "user, key", "add the public key to that account's authorized_keys"),
)


def _of_ssh(problem: str, advice: str) -> tuple[str, str, str]:
    """Subject, problem and remedy where the commands run on a login host."""
    for sign, key, remedy in _OF_SSH:
        if sign in problem.lower():
            what, _, told = problem.partition(". Compare ")
            return f"[hpc.ssh] {key}", what, advice or remedy or (f"compare {told}" if told else "")
    return "batch system", problem, advice


def _advice(own: Settings) -> str:
    if own.channel == "ssh":
        return "see [hpc.ssh]: host, port, user, key, known_hosts"
    return (
        "run the command by hand as the service's account; its PATH and variables are [hpc] "
        "command_path and command_environment"
    )


def site_of(own: Settings, commands: CommandScheduler) -> tuple[Site, list[Finding]]:
    """What it allows, and what could not be asked."""
    parts, untold = [], []
    for question in questions_of(commands.system).ask(user_of(own)):
        try:
            parts.append(commands.ask(question))
        except SchedulerError as problem:
            untold.append(
                ok(
                    "limits",
                    f"not all are known: {question.argv[0]}: {' '.join(str(problem).split())}",
                )
            )
    return joined(parts), untold


def look(known: Configuration, scheduler: Scheduler, store: JobStore | None) -> Iterator[Finding]:
    """Every process against what the batch system allows."""
    own = known.settings
    if isinstance(scheduler, LocalScheduler):
        yield from of_host(known)
        return
    commands = _commands_of(scheduler)
    if commands is None:
        return
    site, untold = site_of(own, commands)
    yield from untold
    found = list(limits.look(known, site, user_of(own)))
    yield from found
    yield from pilots.look(known, site, user_of(own))
    yield from dispatcher.polling(own, site.request_rate)
    yield from _names(own, commands, store)
    blamed = {finding.subject for finding in found if finding.level.value}
    yield from verdicts(known, commands, blamed)


def _names(own: Settings, commands: CommandScheduler, store: JobStore | None) -> Iterator[Finding]:
    """Jobs in the queue whose names are like ours."""
    if store is None or commands.dialect.poll_chunk:
        return  # the system answers about known ids only
    try:
        queue = commands.ask(commands.dialect.poll([]))
        known = {job.name for job in store.in_state(ACTIVE)}
    except (SchedulerError, TableUnavailable):
        return  # told elsewhere
    waiting = {i: s.name for i, s in queue.items() if s.phase is not Phase.FINISHED}
    yield from dispatcher.names(own, waiting, known)


def _commands_of(scheduler: Scheduler) -> CommandScheduler | None:
    """What asks by commands: a library of DRMAA's tells no limits."""
    found = getattr(scheduler, "commands", scheduler)
    return found if isinstance(found, CommandScheduler) else None


def of_host(known: Configuration) -> Iterator[Finding]:
    """What jobs of this host's own ask for, against what it has."""
    own, told = known.settings, False
    for each in asked(known):
        for finding in _on_host(each):
            told = True
            yield finding
        for option in each.need.extra:
            told = True
            yield warning(
                each.key("extra"), f"{option}: scheduler = local has no options", "leave it out"
            )
    for most in most_asked(known):
        for finding in filter(None, map(most.of, _on_host(most.asked))):
            told = True
            yield finding
    if own.slots > (os.cpu_count() or 1):
        told = True
        what = f"{own.slots} is more than this host's {os.cpu_count()} processors"
        yield warning("[hpc] slots", what, "set slots to 0 for all of them")
    if not told:
        yield ok("limits", "what each process asks for fits this host")


def _on_host(each: Asked) -> Iterator[Finding]:
    cpus = each.known.settings.slots or os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    for key, wanted, most, remedy in (
        (
            "cpus",
            each.need.cpus_per_node,
            cpus,
            f"set cpus to at most {cpus}, or [hpc] slots higher",
        ),
        ("gpus", each.need.gpus, 0, "set gpus to 0: scheduler = local has none"),
        ("memory", each.need.memory, memory, f"set memory to at most {memory}M"),
    ):
        if wanted > most:
            what = f"{wanted} is more than this host has ({most}){each.whose}"
            yield (warning if key == "memory" else error)(each.key(key), what, remedy)


def verdicts(
    known: Configuration, commands: CommandScheduler, blamed: set[str]
) -> Iterator[Finding]:
    """The batch system's own verdict on the script of each process.

    Args:
        blamed: subjects of which a clearer error is reported already.
    """
    verify = questions_of(commands.system).verify
    if verify is None:
        return
    scripts = Scripts(known.settings, commands.system, commands.header)
    deadline, tried = time.monotonic() + TIMING.check_scripts, 0
    everyone = asked(known)
    for each in everyone:
        if time.monotonic() > deadline:
            break
        keys = {
            each.key(key)
            for key in ("queue", "account", "walltime", "cpus", "memory", "gpus", "nodes")
        }
        if keys & blamed or any(each.process and each.process in subject for subject in blamed):
            continue
        process = each.process or ""
        try:
            job = Job(ANY_JOB, f"{known.settings.job_prefix}check", process, "0" * 64)
            answer = commands.ask(verify(scripts.batch_job([job]).script))
        except (SchedulerError, ValueError, TypeError) as problem:
            yield ok(
                "limits",
                f"the batch system does not judge scripts: {' '.join(str(problem).split())}",
            )
            return
        tried += 1
        if answer:
            passes = commands.dialect.messages.passing.search(answer)
            kind = warning if passes else error
            yield kind(_subject(each.need, each, answer), answer + each.whose, _remedy(answer))
    if tried:
        yield ok(
            "batch script", f"the batch system would take {tried} of {len(everyone)} kinds of jobs"
        )


#: Words of a verdict -> the key that it is about, and what to do.
_ABOUT = (
    ("partition", "queue", "name a partition that exists (sinfo)"),
    ("queue", "queue", "name a queue that exists (qconf -sql)"),
    ("account", "account", "name an account that you may charge"),
    ("qos", "extra", "name a QOS that the account may use"),
    ("generic resource", "gpus", "set gpus to 0, or name a queue with GPUs"),
    ('resource "gpu"', "gpus", "set gpus to 0, or have the resource gpu made (qconf -mc)"),
    ("parallel environment", "extra", "add to extra: -pe NAME"),
    (' pe "', "cpus", "ask for fewer cpus, or another parallel environment"),
    ("time limit", "walltime", "ask for less"),
    ("memory", "memory", "ask for less"),
    ("h_vmem", "memory", "ask for less"),
    ("h_rt", "walltime", "ask for less"),
    ("node configuration", "cpus", "ask for fewer cpus, less memory or fewer gpus"),
)


def _subject(need: Resources, each: Asked, answer: str) -> str:
    if need.extra and any(sign in answer.lower() for sign in _OF_EXTRA):
        return each.key("extra")
    key = next((key for sign, key, _ in _ABOUT if sign in answer.lower()), "extra")
    return each.key(key)


_OF_EXTRA = (
    "feature",
    "reservation",
    "node name",
    "hostname",
    "constraint",
    "license",
    "resource",
    "project",
)


def _remedy(answer: str) -> str:
    if any(sign in answer.lower() for sign in _OF_EXTRA[:6]):
        return "correct or remove the option in extra"
    found = next((remedy for sign, _, remedy in _ABOUT if sign in answer.lower()), "")
    return found or "correct what it names in [hpc.resources], extra included"
