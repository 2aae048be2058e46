"""An S3 server on this machine that says what it was asked for and can stop in the middle."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_api._internal import moto_api_backend
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "distil"


class Traffic:
    """Middleware that notes the objects sent and fetched, and holds one request until it is let go."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application, self._lock = application, threading.Lock()
        self._hold: tuple[str, int] | None = None
        self.reached, self._release = threading.Event(), threading.Event()
        self.seen: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        hold = False
        if "/files/md5/" in path and method in ("PUT", "GET"):
            with self._lock:
                self.seen.append((method, path))
                hold = self._hold is not None and self._hold[0] == method and len(self.of(method)) >= self._hold[1]
        if hold:
            self.reached.set()
            self._release.wait(60)
        return self._application(environ, start_response)

    def of(self, method: str) -> list[str]:
        """Paths of the requests of a kind so far."""
        return [path for found, path in self.seen if found == method]

    def start_anew(self, hold: tuple[str, int] | None = None) -> None:
        """Forget what was seen; `hold`: from the n-th request of this method on, let none through until `let_go`."""
        self.let_go()
        with self._lock:
            self.seen.clear()
            self._hold = hold
            self.reached.clear()
            self._release.clear()

    def let_go(self) -> None:
        """Let the requests through that are held."""
        self._hold = None
        self._release.set()


class Silent(WSGIRequestHandler):
    """Requests are not logged: thousands would bury what a failed test says."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def s3_server() -> Iterator[tuple[str, Traffic]]:
    """Its address on the loopback interface, with an empty bucket, and its traffic."""
    moto_api_backend.reset()  # what it stores belongs to the process, not to the server
    traffic = Traffic(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, traffic, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", traffic
    finally:
        traffic.let_go()
        server.shutdown()
        thread.join()
