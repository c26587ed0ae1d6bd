"""``make deployments``: what ``docs/deploy/`` shows, with the real programs, as root on Debian; and
a table of its pages at the end."""

from __future__ import annotations

import pytest
from pages_tried import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport)
    ]
    terminalreporter.section("pages of docs/deploy/")
    for line in table(reports):
        terminalreporter.write_line(line)
