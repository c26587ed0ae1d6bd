"""``python -I -m joblauncher --digest SHA256 JOB_FOLDER``: the last line of every batch script."""

from __future__ import annotations

import gc
import sys

gc.disable()  # nothing of what is imported is garbage

from joblauncher import code_archive  # noqa: E402

code_archive.use()  # from here on

from joblauncher.command import run  # noqa: E402

gc.enable()
run(sys.argv[1:])
