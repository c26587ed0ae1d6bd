"""What is checked of the settings, one subject a module.

* :mod:`~pywps_hpc.settings.checks.consistency`: keys that contradict each other; refused
  when loading.
* :mod:`~pywps_hpc.settings.checks.host`: whether this host and account can run with them; refused
  at start and at reload.
* :mod:`~pywps_hpc.settings.checks.pywps_sections`: what PyWPS cannot use of its own
  sections; refused there, too.
* :mod:`~pywps_hpc.settings.checks.warnings`: what is probably a mistake; logged at start.
"""
