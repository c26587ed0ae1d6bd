"""Processor time that is told: once, of this process and its children, however little it is."""

from __future__ import annotations

import os
import time

import pytest

from joblauncher import processor_time
from joblauncher.processor_time import Account


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def burn_in_a_child(seconds: float) -> None:
    pid = os.fork()
    if pid == 0:
        burn(seconds)
        os._exit(0)
    os.waitpid(pid, 0)


def test_what_takes_less_than_a_tick_counts() -> None:
    before = processor_time.own()
    burn(0.003)
    assert processor_time.own() - before >= 0.003


@pytest.mark.parametrize("spend", [burn, burn_in_a_child])
def test_no_second_is_told_twice(spend: object) -> None:
    assert callable(spend)
    before = processor_time.whole()
    account = Account()
    spend(0.03)
    told = [account.settle(), account.settle()]
    spend(0.03)
    told.append(account.settle())
    assert min(told[0], told[2]) >= 0.03
    assert told[1] < 0.03
    assert sum(told) <= processor_time.whole() - before
