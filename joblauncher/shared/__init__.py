"""What web server, dispatcher and launcher all use."""

#: The variable by which code knows that it runs inside a job; it holds the job id.
IN_JOB = "PYWPS_HPC_JOB"
