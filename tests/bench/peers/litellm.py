"""LiteLLM's pass-through endpoints, with one worker: what it adds to an answer that it does not translate."""

import secrets

from . import Peer, Site, version_of

CONFIG = """
general_settings:
  pass_through_endpoints:
    - {path: /events, target: "http://127.0.0.1:<origin>/events", forward_headers: true, auth: false}
    - {path: /first, target: "http://127.0.0.1:<origin>/first", forward_headers: true, auth: false}
    - {path: /json, target: "http://127.0.0.1:<origin>/json", forward_headers: true, auth: false}
"""
# Nothing it would fetch or send by itself.
QUIET = ["LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_TELEMETRY=False", "LITELLM_LOG=ERROR", "NO_DOCS=True"]
STREAMS = 20  # at 40 events a second each: about what it can do on a core


def command(site: Site) -> list[str]:
    """Its words."""
    config = ["--config", str(site.write("litellm.yaml", CONFIG))]
    words = ["litellm", "--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1", *config]
    return ["env", *QUIET, f"LITELLM_MASTER_KEY=sk-{secrets.token_hex(32)}", *words, "--telemetry", "False"]


def find() -> Peer:
    """The peer. Errors: Missing."""
    version = version_of(["env", *QUIET, "litellm", "--version"], -1)
    return Peer("litellm", "LiteLLM", version, command, streams=STREAMS, rounds=1)
