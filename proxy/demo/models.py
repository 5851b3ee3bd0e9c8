"""The list of models: `GET /v1/models`, in the form of OpenAI or, for a client that names its version, of Anthropic."""

from aiohttp import web

MODEL = "demo"


async def models(request: web.Request) -> web.Response:
    """Answers with the one model there is. Any other name is accepted in a request, and answered to."""
    if "anthropic-version" in request.headers:
        model = {"type": "model", "id": MODEL, "display_name": "Demo", "created_at": "2026-01-01T00:00:00Z"}
        return web.json_response({"data": [model], "has_more": False, "first_id": MODEL, "last_id": MODEL})
    listed = {"id": MODEL, "object": "model", "created": 1767225600, "owned_by": "streamsafe"}
    return web.json_response({"object": "list", "data": [listed]})
