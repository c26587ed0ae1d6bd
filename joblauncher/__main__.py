"""``python -I -m joblauncher --digest SHA256 JOB_FOLDER``: the last line of every batch script."""

from __future__ import annotations

import sys

from joblauncher.command import run

run(sys.argv[1:])
