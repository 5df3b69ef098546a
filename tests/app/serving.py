"""An application behind a real server on a free port, for the time of a `with` statement."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Yields the URL of the server's root."""
    listener = socket.create_server(("127.0.0.1", 0))
    # uvicorn's own configuration of logging closes all handlers there are, and that of absl, which
    # rouge-score brings, closes the stream it writes to: pytest's.
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
