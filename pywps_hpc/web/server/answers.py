"""One request to the WSGI application, and its answer as far as the client takes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.parser import RequestParser

from pywps_hpc.web.server import HAS_LEFT, LISTENS
from pywps_hpc.web.server.connections import AHEAD, Connection


def answer(worker: Any, connection: Connection) -> Iterator[None]:
    """Have the application answer; each step fills the outbox as far as it may be.

    Runs in one thread after the other.

    Args:
        worker: gunicorn's, with the application, the settings and the log.
    """
    outbox, incoming = connection.outbox, connection.incoming
    begun = datetime.now()
    try:
        request = next(RequestParser(worker.cfg, iter([bytes(incoming.head)]), connection.client))
        response, environ = wsgi.create(
            request, outbox, connection.client, connection.server, worker.cfg
        )
    except Exception as error:
        connection.closes = True
        worker.handle_error(None, outbox, connection.client, error)
        return
    _complete(environ, worker, connection)
    if incoming.cut or worker.is_leaving:
        response.force_close()
    parts: Any = ()
    try:
        parts = worker.wsgi(environ, response.start_response)
        for part in parts:
            response.write(part)
            if outbox.size >= AHEAD:
                yield
        response.close()
    except GeneratorExit:
        raise
    except Exception as error:
        connection.closes = True
        if response.headers_sent:
            raise
        worker.handle_error(request, outbox, connection.client, error)
    finally:
        connection.closes |= response.should_close() if response.status else True
        worker.log.access(response, request, environ, datetime.now() - begun)
        if hasattr(parts, "close"):
            parts.close()


def _complete(environ: dict[str, Any], worker: Any, connection: Connection) -> None:
    """Tell the application of a request that has come in whole."""
    incoming = connection.incoming
    environ["wsgi.multithread"] = True
    environ["wsgi.input"] = incoming.body
    environ[LISTENS] = lambda: worker.alive and not connection.left
    environ[HAS_LEFT] = lambda: connection.left
    environ.pop("gunicorn.socket", None)
    if incoming.declared is None:
        environ["CONTENT_LENGTH"] = str(incoming.size)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
