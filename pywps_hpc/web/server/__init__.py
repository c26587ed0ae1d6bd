"""The HTTP server: gunicorn's master, with a worker that no client can hold up.

It serves any WSGI application, and knows nothing of this one. gunicorn is an extra: what is here
needs none of it, the modules do.
"""

#: Key of a WSGI environment: a function that tells whether to go on waiting for this client; it
#: says no, too, when the server is about to stop.
LISTENS = "pywps_hpc.listens"
#: Another such function, which tells whether the client has closed its connection.
HAS_LEFT = "pywps_hpc.has_left"
