"""``pywps-hpc check``: an installation, from its configuration to a real job on a real node.

Each module looks at one subject and gives a :class:`~pywps_hpc.check.findings.Finding` for each
thing that it looked at, with the remedy for what is wrong. :mod:`~pywps_hpc.check.run` puts them in
order. What the settings themselves refuse or warn of at start stands in
:mod:`pywps_hpc.settings.checks`, and is reported here by the same message.
"""
