"""Tests of proxy.core: tables of decisions, and laws where one holds for every input."""
