"""`python -m proxy` is `streamsafe`."""

from proxy.cli import main

if __name__ == "__main__":
    main(prog_name="streamsafe")
