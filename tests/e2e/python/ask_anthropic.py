"""The anthropic SDK: ask_anthropic.py URL."""

from anthropic import AsyncAnthropic
from tell import run, tell


async def ask(url: str) -> None:
    async with (
        AsyncAnthropic(base_url=url, api_key="sk-ant-of-the-client", max_retries=0) as client,
        client.messages.stream(model="any", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]) as stream,
    ):
        async for text in stream.text_stream:
            tell(event=text)
        final = await stream.get_final_message()
        if final.stop_reason is None:
            tell(error="Missing message_stop")


run(ask)
