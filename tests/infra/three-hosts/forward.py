#!/usr/bin/env python3
"""Hands connections to a port of this machine on to a host of the test cluster.

``forward.py PORT PID ADDRESS PORT_THERE``: listens on 127.0.0.1:PORT, then moves into the network
of the process PID, from where ADDRESS can be reached. There is no other way from here to there.
"""

import asyncio
import os
import socket
import sys


def listen(port: int) -> socket.socket:
    """A listening socket that outlives the change of programs."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    listener.set_inheritable(True)
    return listener


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends or breaks."""
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
        target.write_eof()
    except OSError:
        target.close()


async def serve(listener: socket.socket, address: str, port: int) -> None:
    """Forward every connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, back), pump(there, writer))
        back.close()
        writer.close()

    async with await asyncio.start_server(connected, sock=listener) as server:
        await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        asyncio.run(serve(socket.socket(fileno=int(sys.argv[2])), sys.argv[3], int(sys.argv[4])))
    else:
        port, pid, address, port_there = sys.argv[1:]
        descriptor = str(listen(int(port)).detach())
        again = [sys.executable, "-I", __file__, "--inside", descriptor, address, port_there]
        os.execvp("nsenter", ["nsenter", "--target", pid, "--net", *again])
