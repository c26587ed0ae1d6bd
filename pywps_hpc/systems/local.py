"""The embedded scheduler, which has a processor, memory and a clock, and no accounts."""

from __future__ import annotations

_NONE = "scheduler = local has none; leave it out"
#: Key that this system does not support -> what to do instead.
UNSUPPORTED = {
    "qos": _NONE,
    "reservation": _NONE,
    "licenses": _NONE,
    "gpu_type": "scheduler = local knows no types of GPUs; write gpus without one",
}
#: Keys that have no effect.
UNUSED = frozenset({"queue", "account", "client_queue", "parallel_environment"})
