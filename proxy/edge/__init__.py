"""Observers and pages: what is told to people and machines outside. Never in the path of a byte."""
