"""TORQUE: the options that the service sets itself (qsub(1B))."""

from __future__ import annotations

from pywps_hpc.systems.options import NOT_SUBMITTED, SET_BY_SERVICE, use_key
from pywps_hpc.systems.pbs import OPTIONS, RESOURCES, Qsub

#: Key -> options that say the same, which may stand in ``extra`` where the key is not set.
KEYS: dict[str, tuple[str, ...]] = {}
_MOAB = "it is Moab's or Maui's, not TORQUE's own; use extra ({})"
#: Key that this system does not support -> what to do instead.
UNSUPPORTED = {
    "qos": _MOAB.format("-l qos=NAME"),
    "reservation": _MOAB.format("-l advres=NAME"),
    "licenses": _MOAB.format("-l gres=NAME+NUMBER"),
}
#: Keys that have no effect.
UNUSED = frozenset({"parallel_environment"})

reserved = Qsub(
    options={
        **OPTIONS,
        "L": "set cpus, memory, walltime and gpus by the keys of these names",
        **dict.fromkeys("NoejktJdwDSVvuPCfF", SET_BY_SERVICE),
        **dict.fromkeys("IXxz", NOT_SUBMITTED),
    },
    with_value=frozenset("aAbcCdDeFijJkKlLmMNopPqrStTuvwW"),
    resources={**RESOURCES, "place": use_key("cpus")},
    attributes=frozenset({"group_list", "job_radix", "umask", "x"}),
).reserved
