"""Status documents of an ended job a second, from one worker, by the number of clients.

    python benchmarks/status_reads.py [--seconds S] [--rounds N] [--clients 1 8 32 64]

The clients are connections of one process that are kept, each with one request under way. Beside
the rate stands the processor time of the worker for each request, which does not depend on what
else the machine does.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

import compare  # noqa: E402

import servers  # noqa: E402
import wps_client  # noqa: E402


def read(url: str, clients: int, seconds: float, headers: str = "") -> int:
    """How many answers as many clients get in a time."""
    place = urlsplit(url)
    request = f"GET {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n{headers}\r\n".encode()
    poll, connections, left = select.epoll(), {}, {}
    for _ in range(clients):
        connection = socket.create_connection((place.hostname, place.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
        connection.sendall(request)
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for number, _ in poll.poll(1.0):
            data = connections[number].recv(1 << 20)
            missing = left.get(number, 0)
            if not missing:
                head, _, body = data.partition(b"\r\n\r\n")
                assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")), head[:200]
                at = head.lower().find(b"content-length:")
                length = int(head[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0
                missing = length - len(body)
            else:
                missing -= len(data)
            left[number] = missing
            if not missing:
                done += 1
                connections[number].sendall(request)
    for connection in connections.values():
        connection.close()
    return done


def main() -> None:
    """Print one line for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--rounds", type=int, default=compare.ROUNDS)
    own = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.HpcServer(Path(folder), workers=1)
        with server:
            location = wps_client.submit(server.url, "sleeper", [("seconds", "0")])
            wps_client.await_end(location)
            worker = psutil.Process(*server.worker_pids())
            answer = wps_client.get(location)
            etag = answer.headers.get("ETag", "")
            rates: dict[int, list[float]] = {number: [] for number in own.clients}
            for number in own.clients * own.rounds:
                line = f"{number} clients:"
                for name, headers in (("", ""), (" not modified", f"If-None-Match: {etag}\r\n")):
                    if headers and not etag:
                        continue
                    before, begun = sum(worker.cpu_times()[:2]), time.monotonic()
                    done = read(location, number, own.seconds, headers)
                    spent, took = sum(worker.cpu_times()[:2]) - before, time.monotonic() - begun
                    if not headers:
                        rates[number].append(done / took)
                    line += f" {done / took:.0f}/s{name}, {spent / done * 1e3:.2f} ms each;"
                print(line, flush=True)
    for number, found in rates.items():
        what = f"status reads, one worker, {number} clients"
        compare.tell(compare.Figure(what, "/s", 1500, found, at_least=True))
    fewest, most = rates[own.clients[0]], rates[own.clients[-1]]
    flat = compare.Row("status reads, most clients", "fewest clients", 0.9, "/s", at_least=True)
    flat.ours, flat.theirs, flat.load = most, fewest, os.getloadavg()[0]
    compare.tell(flat)


if __name__ == "__main__":
    main()
