"""The demo, on real sockets."""
