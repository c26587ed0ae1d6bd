"""Documents of OGC API - Processes in JSON that the web server and the dispatcher both make."""
