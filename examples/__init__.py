"""Example PyWPS service: ordinary processes on real data, see README.md."""
