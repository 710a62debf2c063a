"""Who may ask, how much and how often: in front of every request.

The page is for this machine's own browser. A name that others give to this machine's address
(DNS rebinding), another page's script and a body without an end are refused before anything of ours
reads them.
"""

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ..languages import Said

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

LARGEST = 150_000  # bytes of a body; the largest drawing has 104,536 in base64
_OTHERS = Said("another page may not ask", "不回答其他页面的请求")
_TOO_LARGE = Said(f"a request has at most {LARGEST:,} bytes", f"一个请求最多 {LARGEST:,} 字节")
_PER_SECOND, _AT_ONCE = 100.0, 200.0
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An ASGI application in front of another.

    Parameters
    ----------
    app : ASGI application
        What is asked if nothing is wrong.
    port : int
        Where the page is; its own address is the only one that is answered.
    clock : function
        Seconds.
    """

    def __init__(self, app: App, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._clock = app, clock
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}" for name in names}
        if port == 80:  # which browsers leave out
            self._hosts.update(names)
        self._left, self._looked = _AT_ONCE, clock()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer, or hand on."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # a WebSocket: the page has none
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): text for name, text in scope["headers"]}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), text.encode()) for name, text in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *ours]}
            await send(message)

        refusal = self._refusal(headers, scope["method"], scope["path"])
        body = b""
        if refusal is None and scope["method"] == "POST":
            whole = await _body(receive)
            if whole is None:
                refusal = 413, _TOO_LARGE
            else:
                body = whole
        if refusal is not None:
            await _refuse(guarded, *refusal)
            return
        given = False

        async def once() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, once, guarded)

    def _refusal(
        self, headers: dict[str, bytes], method: str, path: str
    ) -> tuple[int, Said] | None:
        """Status and sentence; None if all is well. What others ask takes none of our turns."""
        host = headers.get("host", b"").decode("latin-1").lower()
        if host not in self._hosts:
            return 403, Said(
                "this page is for the browser of the machine that it runs on",
                "此页面只供它所在机器的浏览器使用",
            )
        origin = headers.get("origin", b"").decode("latin-1").lower()
        if origin and origin.removeprefix("http://") not in self._hosts:
            return 403, _OTHERS
        is_link = path == "/" and headers.get("sec-fetch-mode") == b"navigate"
        site = headers.get("sec-fetch-site", b"same-origin")
        if site not in (b"same-origin", b"none") and not is_link:
            return 403, _OTHERS
        if not self._may_ask_now():
            return 429, Said("too many requests: wait a second", "请求太多：请等一秒")
        if method == "POST":
            if headers.get("content-type", b"").split(b";")[0].strip() != b"application/json":
                return 415, Said("a request is JSON", "请求应为 JSON")
            length = headers.get("content-length", b"0")
            if not length.isdigit() or len(length) > 9 or int(length) > LARGEST:
                return 413, _TOO_LARGE
        return None

    def _may_ask_now(self) -> bool:
        """Whether less was asked than a page asks while one draws; counts this request."""
        now = self._clock()
        self._left = min(_AT_ONCE, self._left + (now - self._looked) * _PER_SECOND)
        self._looked = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """All of a body; None if it is too large."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the browser has gone
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def told(why: Said) -> dict[str, str]:
    """A refusal as the page takes it."""
    return {"error": why.en, "zh": why.zh}


async def _refuse(send: Callable[[Message], Awaitable[None]], status: int, why: Said) -> None:
    body = json.dumps(told(why)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
