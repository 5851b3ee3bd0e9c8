"""The openai SDK for Python: ask_openai.py URL."""

from openai import AsyncOpenAI
from tell import run, tell


async def ask(url: str) -> None:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-of-the-client", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        async for chunk in stream:
            tell(event=chunk.choices[0].delta.content)


run(ask)
