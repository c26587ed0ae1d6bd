"""The odd processes, in a module that a test can make slow to import, or break."""

from __future__ import annotations

import os
import time
from pathlib import Path

import odd

for line in Path(os.environ["RELOADABLE"]).read_text().splitlines():
    word, _, argument = line.partition(" ")
    if word == "sleep":
        time.sleep(float(argument))
    elif word == "raise":
        raise RuntimeError(argument)
    elif word == "exit":
        os._exit(int(argument))

service = odd.service
