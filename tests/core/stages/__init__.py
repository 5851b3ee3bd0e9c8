"""Tests of proxy.core.stages."""
