"""What comes from outside, as it may stand in a line of the log."""

import json


def escaped(value: object) -> str:
    """JSON in visible ASCII: terminals act on more than what JSON has to escape."""
    return json.dumps(value).replace("\x7f", "\\u007f")
