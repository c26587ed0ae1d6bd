"""Keys that are set and have no effect, since another key is not, or is."""

from __future__ import annotations

from collections.abc import Iterator

from pywps_hpc.check.configuration import Configuration
from pywps_hpc.check.findings import Finding, warning
from pywps_hpc.settings.model import OWNER_PREFIX, PROCESS_PREFIX
from pywps_hpc.systems import options

#: Keys of PyWPS's own batch mode, which is not used.
_OF_PYWPS = ("path", "drmaa_native_specification", "remotehost")


def look(known: Configuration) -> Iterator[Finding]:
    """Keys that are set and have no effect, since another key is not."""
    own = known.settings
    system = own.system if own.scheduler == "drmaa" else own.scheduler
    if known.sections.get("hpc.notices") and not (own.notices.webhook or own.notices.mail):
        what = "have no effect: nobody is told"
        yield warning("[hpc.notices] events", what, "set webhook or mail, or remove the section")
    for section, keys in known.sections.items():
        is_need = section == "hpc.resources" or section.startswith((PROCESS_PREFIX, OWNER_PREFIX))
        for key in keys:
            why = ""
            if is_need and options.is_unused(system, key):
                why = f"{system} has none"
            elif section == "hpc" and key == "slots" and own.scheduler != "local" and own.slots:
                why = "it is for scheduler = local"
            elif section == "hpc" and key in ("system", "drmaa_library"):
                why = "" if own.scheduler == "drmaa" else "it is for scheduler = drmaa"
            elif section == "hpc.ssh" and own.channel != "ssh":
                yield warning(
                    f"[{section}] {key}",
                    "has no effect: commands run on this host (channel = local)",
                    "set [hpc] channel = ssh, or remove the section",
                )
                break
            if why:
                yield warning(f"[{section}] {key}", f"has no effect: {why}", "remove it")
    yield from _beside_others(known)


def _beside_others(known: Configuration) -> Iterator[Finding]:
    """Keys that another one makes pointless."""
    own, sections = known.settings, known.sections
    if own.trusted_proxies and not (own.user_header or own.accel_location):
        what = "has no effect: neither user_header nor accel_location is set"
        yield warning("[hpc] trusted_proxies", what, "set user_header, or remove it")
    for key in _OF_PYWPS:
        if key in sections.get("processing", {}):
            what = "has no effect: it is for another mode of PyWPS's"
            remedy = "remove it; what a job asks for stands in [hpc.resources]"
            yield warning(f"[processing] {key}", what, remedy)
    needs = [process.resources for _, process in known.everyone()]
    for section, keys in sections.items():
        is_own = section.startswith(PROCESS_PREFIX)
        if not is_own and section not in ("hpc.resources", "hpc.container"):
            continue
        process = own.for_process(section.removeprefix(PROCESS_PREFIX)) if is_own else None
        for key in ("memory", "walltime"):
            concerned = [process.resources] if process else needs
            if f"max_{key}" in keys and not any(getattr(n, f"{key}_per_input") for n in concerned):
                what = f"has no effect: {key} is not a rule by the size of the inputs"
                remedy = f"write a rule ({RULES[key]}), or remove it"
                yield warning(f"[{section}] max_{key}", what, remedy)
        warm = [process] if process else [each for _, each in known.everyone()]
        pilots = [key for key in keys if key.startswith("pilot_")]
        if pilots and (own.scheduler == "local" or not any(one.container.warm for one in warm)):
            why = "local has no pilots" if own.scheduler == "local" else "warm = no"
            yield warning(f"[{section}] {pilots[0]}", f"has no effect: {why}", "set warm = yes")


#: Examples of rules.
RULES = {"memory": "2G + 3 * input", "walltime": "00:10:00 + 00:01:00 * input / 1G"}
