"""Secrets out of text that people or machines will read.

Which names are secret is said here for every output: logs, messages and `check --print`.
"""

import re
from urllib.parse import unquote

_SECRET_NAME = re.compile(r"key|token|secret|auth|sig|passw|credential|cookie|code|session|bearer", re.IGNORECASE)
_USER_INFO = re.compile(r"//[^/?#]*@")


def is_secret_name(name: str) -> bool:
    """Whether a query name, header field or environment variable of this name is likely to hold a secret."""
    return _SECRET_NAME.search(name) is not None


def target(text: str) -> str:
    """A request target with user info and the values of secret-like query names replaced by an ellipsis."""
    if "@" in text:
        text = _USER_INFO.sub("//…@", text)
    path, mark, query = text.partition("?")
    return f"{path}?{'&'.join([_pair(pair) for pair in query.split('&')])}" if mark else path


def _pair(pair: str) -> str:
    name, mark, value = pair.partition("=")
    return f"{name}=…" if mark and value and is_secret_name(unquote(name)) else pair
