"""A PyWPS service whose processes are hard to send to another computer.

It knows nothing of batch systems; its configuration comes from ``PYWPS_CFG`` as for any service.
"""

from __future__ import annotations

from pywps import Service

import odd_data
import odd_deaths
import odd_ends
import odd_shapes

service = Service(
    [*odd_shapes.PROCESSES, *odd_data.PROCESSES, *odd_deaths.PROCESSES, *odd_ends.PROCESSES]
)
