"""How much one request may send."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


_UPLOAD = 6_000_000  # bytes: a file of MAX_FILE, and what stands around it
_ANYTHING_ELSE = 2_000_000  # bytes: a text of MAX_CHARACTERS, each written in JSON as two escapes of six


class BodyLimit:
    """Rejects a request that is larger than any accepted text or file, before it fills the memory.

    Args:
        app: that answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = _UPLOAD if scope["path"].endswith("/upload") else _ANYTHING_ELSE
        sent = 0

        async def counted() -> Message:
            nonlocal sent
            message = await receive()
            sent += len(message.get("body", b""))
            if sent > most:
                raise HTTPException(413, f"The request sends more than {most:,} bytes; a text or a file is shorter.")
            return message

        await self.app(scope, counted, send)
