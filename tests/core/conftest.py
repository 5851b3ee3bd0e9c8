"""Hypothesis without its clock: how long an example takes is the machine's affair, and every test has a time limit."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
