"""What pilots ask for, held against what the site allows: pure.

Where no pilot can start the jobs go by themselves: that is no error, but not what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pywps_hpc.check.asked import Asked
from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, warning
from pywps_hpc.check.limits import of_one
from pywps_hpc.dispatch.schedulers.sites.model import Site
from pywps_hpc.dispatch.scripts.pilot import OVERHEAD, can_have_pilots, of_pilot
from pywps_hpc.settings import ProcessSettings
from pywps_hpc.timing import TIMING


def look(known: Configuration, site: Site, user: str) -> Iterator[Finding]:
    """All pilots against the site, in what they ask for beyond one job.

    Args:
        known: the configuration.
        site: what is known of it.
        user: the account by which jobs are submitted.
    """
    told: set[str] = set()
    for process, own in known.everyone():
        if not can_have_pilots(own):
            continue
        one, whole = own.resources, of_pilot(own)
        for key, need in (
            ("pilot_walltime", replace(one, walltime=whole.walltime)),
            ("pilot_slots", replace(one, cpus=whole.cpus, memory=whole.memory)),
        ):
            asked = Asked(process, need, known)
            plain = {finding.subject for finding in of_one(Asked(process, one, known), site, user)}
            for finding in of_one(asked, site, user):
                subject = f"[{known.section_of(process, key)}] {key}"
                if finding.subject not in plain and subject not in told:
                    told.add(subject)
                    what = f"no pilot can start, so that jobs go by themselves: {finding.what}"
                    yield warning(subject, what.replace("such a job", "it"), _remedy(key, own))


def _remedy(key: str, own: ProcessSettings) -> str:
    if key == "pilot_walltime":
        least = own.resources.walltime + int(TIMING.pilot_reserve)
        return f"set pilot_walltime to what is allowed; it takes {least} s or more to run a job"
    if own.container.pilot_slots == 1:
        return f"a pilot takes {OVERHEAD} MiB beside its job's memory: ask for less memory"
    return "set pilot_slots to fewer"
