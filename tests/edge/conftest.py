"""What tests of the inspector share with those of the network."""

from tests.net.conftest import left_behind, origin

__all__ = ["left_behind", "origin"]
