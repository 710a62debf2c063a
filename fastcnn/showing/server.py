"""The page and its answers at an address of this machine, for its own browser.

    GET  /            the page; /page.css, /page.js, /words.js
    GET  /about       classes, layers, sizes
    POST /answer      what the network makes of an image: probabilities, maps, nearest images
    POST /number      one number explained
    POST /filters     the first convolution's weights
    GET  /live        of a network in training: where it is, its curves
    POST /control     go on, pause, step; another rate, order or start

An image is `{"image": 3}`, a test image, or `{"drawing": base64, "side": 140, "centred": true}`;
with `"moment": 3` the network answers as after that epoch of a finished run, or after that step of
a training that is watched, if its weights are kept. A question with something wrong in it gets
status 400 and `{"error": sentence, "zh": sentence in Chinese}`. What a network that has broken in
training cannot answer has the sentence alone.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..languages import Refusal, Said
from .guard import App, Guard, told
from .live import Live
from .shown import Broken, Shown

HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("page")
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def application(shown: Shown, port: int) -> App:
    """The ASGI application that shows a run at a port."""
    routes = [_file(path) for path in sorted(_PAGE.iterdir()) if path.suffix in _KINDS]
    routes += [
        Route("/about", _told(lambda _: shown.about()), methods=["GET"]),
        Route("/answer", _asked(shown.answer), methods=["POST"]),
        Route("/number", _asked(shown.number), methods=["POST"]),
        Route("/filters", _asked(shown.filters), methods=["POST"]),
    ]
    if isinstance(shown, Live):
        routes += [
            Route("/live", _told(lambda _: shown.state()), methods=["GET"]),
            Route("/control", _asked(shown.control), methods=["POST"]),
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    app.router.redirect_slashes = False
    return Guard(app, port)


def listening(port: int | None) -> socket.socket:
    """A socket at the port, or at any that is free.

    Raises
    ------
    ValueError
        If another program has the port.
    """
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port or 0))
    except (OSError, OverflowError) as error:
        found.close()
        why = getattr(error, "strerror", None) or "a port is 1 to 65535"
        raise ValueError(f"port {port} cannot be had: {why}; None takes one that is free") from None
    return found


def serve(shown: Shown, place: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Answer until the process is ended.

    Parameters
    ----------
    shown : Shown
        The run.
    place : socket
        Where.
    ready : function
        Called once the page can be opened.
    """
    config = uvicorn.Config(
        application(shown, place.getsockname()[1]),
        log_level="warning", access_log=False, server_header=False, ws="none", lifespan="off",
        limit_concurrency=100, timeout_keep_alive=5, h11_max_incomplete_event_size=16_384,
    )  # fmt: skip
    _Server(config, ready).run(sockets=[place])


class _Server(uvicorn.Server):
    """Leaves signals to the command, and says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _file(path: Path) -> Route:
    """A file of the page, as it was when the server began."""
    content, kind = path.read_bytes(), f"{_KINDS[path.suffix]}; charset=utf-8"

    async def endpoint(_request: Request) -> Response:
        return Response(content, headers={"content-type": kind})

    return Route("/" if path.name == "index.html" else f"/{path.name}", endpoint, methods=["GET"])


def _told(ask: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(ask, {}))

    return endpoint


def _asked(ask: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            question = _question(await request.body())
            return JSONResponse(await run_in_threadpool(ask, question))
        except Broken as error:
            return JSONResponse(told(error.said))  # no error in the browser's console
        except Refusal as error:
            return JSONResponse(told(error.said), 400)
        except ValueError as error:  # which nobody foresaw here
            return JSONResponse(told(Said(str(error), f"不能回答：{error}")), 400)

    return endpoint


def _question(body: bytes) -> dict[str, Any]:
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        question = None
    if not isinstance(question, dict):
        raise Refusal("a request is a JSON object", "请求应为一个 JSON 对象")
    return question


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    there = Said(f"nothing is here for this request: {error.detail}", "这里没有这个请求所要的东西")
    return JSONResponse(told(there), error.status_code, headers=error.headers)
