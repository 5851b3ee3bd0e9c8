"""Streams as providers send them, with what is to be learnt of each. Shapes are theirs, the values are ours.

A module for each provider; here they are all together.
"""

from tests.core.dialects.transcripts.anthropic import ANTHROPIC
from tests.core.dialects.transcripts.bedrock import BEDROCK
from tests.core.dialects.transcripts.gemini import GEMINI, GEMINI_ARRAY
from tests.core.dialects.transcripts.ollama import OLLAMA
from tests.core.dialects.transcripts.openai import CHAT, RESPONSES
from tests.core.dialects.transcripts.plain import PLAIN

FAMILIES = {
    "chat": CHAT,
    "responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "array": GEMINI_ARRAY,
    "ollama": OLLAMA,
    "bedrock": BEDROCK,
    "plain": PLAIN,
}
ALL = {f"{family}-{name}": transcript for family, found in FAMILIES.items() for name, transcript in found.items()}
EVENT_STREAMS = {name: transcript for name, transcript in ALL.items() if transcript.framing == "sse"}
