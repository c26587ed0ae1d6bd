"""Of new connections each worker takes its share, but no client waits for one that is stuck."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pywps_hpc.web.server import loop as server_loop
from pywps_hpc.web.server.loop import Loop
from pywps_hpc.web.server.open_connections import OpenConnections
from pywps_hpc.web.server.shares import MARGIN, PLACES, Shares
from pywps_hpc.web.server.threads import Threads

CLIENTS = 3 * MARGIN


class Worker:
    """The loop of a worker, and one place more for another worker; clients that have come."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        shares = Shares()
        self.share, self.other = shares.take(), shares.take()
        self.open = OpenConnections(1 << 20, 1 << 20, self.share)
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        wake = os.pipe2(os.O_NONBLOCK)
        for end in wake:
            stack.callback(os.close, end)
        self.loop = Loop(
            [self.listener],
            wake,
            self.open,
            Threads(2),
            lambda _connection: iter(()),
            logging.getLogger(),
        )
        for _ in range(CLIENTS):
            stack.enter_context(socket.create_connection(self.listener.getsockname()))

    @property
    def has(self) -> int:
        """Its connections."""
        return len(self.open._all)


@pytest.fixture
def worker() -> Iterator[Worker]:
    with contextlib.ExitStack() as stack:
        made = Worker(stack)
        yield made
        for connection in list(made.open._all.values()):
            made.open.close(connection)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = replace(server_loop.TIMING, connection_left=600.0)
    monkeypatch.setattr(server_loop, "TIMING", timing)


@pytest.mark.usefixtures("patient")
def test_one_worker_takes_all(worker: Worker) -> None:
    worker.loop.turn()
    assert worker.has == CLIENTS


@pytest.mark.usefixtures("patient")
def test_what_another_worker_has_not_yet_taken_is_left_to_it(worker: Worker) -> None:
    worker.other.tell(0)
    for _ in range(5):
        worker.loop.turn()
    assert worker.has == MARGIN
    worker.other.tell(2)
    for _ in range(5):
        worker.loop.turn()
    assert worker.has == MARGIN + 2
    worker.other.leave()
    for _ in range(5):
        worker.loop.turn()
    assert worker.has == CLIENTS


def test_no_client_waits_for_a_worker_that_is_stuck(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing = replace(server_loop.TIMING, connection_left=0.0)
    monkeypatch.setattr(server_loop, "TIMING", timing)
    worker.other.tell(0)
    for _ in range(5):
        worker.loop.turn()
    assert worker.has == CLIENTS


@pytest.mark.usefixtures("patient")
def test_a_worker_tells_how_many_it_has_until_it_takes_no_more(worker: Worker) -> None:
    worker.loop.turn()
    worker.other.tell(CLIENTS + MARGIN)
    assert worker.other.is_large
    first = next(iter(worker.open._all.values()))
    worker.open.close(first)
    worker.other.tell(CLIENTS + MARGIN - 1)
    assert worker.other.is_large
    worker.loop.stop_listening()
    worker.open.close(next(iter(worker.open._all.values())))
    assert not worker.other.is_large


def test_what_a_worker_tells_is_seen_by_the_others() -> None:
    shares = Shares()
    mine, other = shares.take(), shares.take()
    mine.tell(MARGIN)
    assert not mine.is_large
    child = multiprocessing.get_context("fork").Process(target=other.tell, args=(0,))
    child.start()
    child.join(60)
    assert mine.is_large
    shares.give_back(other)  # it has ended
    assert not mine.is_large


def test_workers_beyond_the_places_wait_for_nobody() -> None:
    shares = Shares()
    taken = [shares.take() for _ in range(PLACES)]
    one_more = shares.take()
    taken[0].tell(0)
    one_more.tell(1000)
    assert not one_more.is_large
    shares.give_back(one_more)
    shares.give_back(taken[5])
    assert shares.take().place == taken[5].place
