"""``make deployments``: what ``docs/deploy/`` shows, with the real programs, as root on Debian."""
