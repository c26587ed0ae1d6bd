"""Pilots: batch jobs that take one job after the other, as a :class:`Scheduler` around another."""
