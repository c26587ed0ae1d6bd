"""What the two halves of a nursery in a container say to each other."""

from __future__ import annotations

import struct

KEEP, READY, GO = b"keep", b"ready", b"go"
#: How a launcher ended: its wait status, and the processor seconds of all processes of the job.
END = struct.Struct("id")
#: Processor seconds that starting a launcher took, beside those of its job's processes.
SPENT = struct.Struct("d")
