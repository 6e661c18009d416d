"""The web server: Optuna Dashboard's own application, with our answers where they say more or come sooner."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bottle import Bottle, HTTPResponse, request
from optuna_dashboard._app import create_app

from nas.dashboard.detail import StudyDetail
from nas.dashboard.pictures import curve_svg, front_png, network_svg
from nas.errors import NasError, StorageError

if TYPE_CHECKING:
    from nas.store import Store

HOST: Final = "127.0.0.1"
FOREVER: Final = "private, max-age=31536000, immutable"
"""Of pictures whose address changes with what they show."""
_log = logging.getLogger(__name__)


class Dashboard:
    """The dashboard of one database, on this machine only. `serve` runs until `stop` or an interrupt."""

    def __init__(self, store: Store, study: str | None = None, port: int = 8080) -> None:
        """Takes the port. `study` is shown first. Raises NasError when the port cannot be had."""
        self._store = store
        self._details: dict[str, StudyDetail] = {}
        self._lock = threading.Lock()
        self._first = study
        try:
            self._server = make_server(HOST, port, self._application(), server_class=_Server, handler_class=_Quiet)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise NasError(f"port {port} on {HOST} is in use; name another with --port") from None
            raise NasError(f"port {port} on {HOST}: {problem.strerror or problem}") from None

    @property
    def url(self) -> str:
        """Where it is seen."""
        place = f"http://{HOST}:{self._server.server_port}/dashboard"
        return place if self._first is None else f"{place}/studies/{self._store.optuna_ids(self._first)[0]}"

    def serve(self) -> None:
        """Answers requests until `stop`."""
        try:
            self._server.serve_forever()
        finally:
            self._server.server_close()

    def stop(self) -> None:
        """Ends `serve`; may be called from another thread."""
        self._server.shutdown()

    def _application(self) -> Bottle:
        """Ours is asked first; what it does not know, Optuna Dashboard answers."""
        theirs = create_app(self._store.optuna_storage())
        app = Bottle()
        app.get("/api/studies/<optuna_id:int>", callback=_guarded(self._study))
        app.get("/nas/network/<study_id:int>/<digest:re:[0-9a-f]+>.svg", callback=_guarded(self._network))
        app.get("/nas/curve/<study_id:int>/<number:int>.svg", callback=_guarded(self._curve))
        app.get("/nas/front/<study_id:int>-<count:int>.png", callback=_guarded(self._front))
        app.merge(theirs)  # its routes come after ours
        for hook in theirs._hooks["before_request"]:
            app.add_hook("before_request", hook)
        return app

    def _study(self, optuna_id: int) -> HTTPResponse:
        name = self._store.optuna_storage().get_study_name_from_id(optuna_id)
        after = request.query.get("after", "0")
        if not after.isdigit():
            return _json(b'{"reason": "`after` should be larger or equal 0."}', HTTPStatus.BAD_REQUEST)
        return _json(self._detail(name).answer(int(after)))

    def _network(self, study_id: int, digest: str) -> HTTPResponse:
        study = self._by_id(study_id).study
        return _picture(network_svg(study, self._store.architecture(digest)), "image/svg+xml")

    def _curve(self, study_id: int, number: int) -> HTTPResponse:
        name = self._by_id(study_id).study.name
        epochs = self._store.epochs(name, since=number)
        rows = epochs[(epochs["trial"] == number) & epochs["accuracy"].notna()]
        points = [(int(epoch), float(value)) for epoch, value in zip(rows["epoch"], rows["accuracy"], strict=True)]
        if not points:
            raise NasError(f"study '{name}': trial {number} has no learning curve")
        return _picture(curve_svg(points), "image/svg+xml")

    def _front(self, study_id: int, count: int) -> HTTPResponse:
        detail = self._by_id(study_id)
        return _picture(front_png(detail.study, detail.trials.head(count)), "image/png")

    def _detail(self, name: str) -> StudyDetail:
        with self._lock:
            if name not in self._details:
                self._details[name] = StudyDetail(self._store, name)
            return self._details[name]

    def _by_id(self, study_id: int) -> StudyDetail:
        for name in self._store.studies()["study"]:
            detail = self._detail(str(name))
            if detail.study.id == study_id:
                return detail
        raise NasError(f"no study number {study_id}")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        # Reuse lets two servers share a port on some systems; who asks for a port in use must be told.
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if self.server_address[1] and probe.connect_ex((HOST, self.server_address[1])) == 0:
                raise OSError(errno.EADDRINUSE, "in use")
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        _log.debug(format, *arguments)


def _guarded(answer: Callable[..., HTTPResponse]) -> Callable[..., HTTPResponse]:
    """A mistake becomes a line in the answer instead of a page of traceback."""

    def call(*arguments: Any, **named: Any) -> HTTPResponse:
        try:
            return answer(*arguments, **named)
        except (StorageError, KeyError) as problem:
            return _json(_reason(problem), HTTPStatus.NOT_FOUND)
        except NasError as problem:
            return _json(_reason(problem), HTTPStatus.BAD_REQUEST)

    return call


def _reason(problem: Exception) -> bytes:
    import json

    return json.dumps({"reason": str(problem)}).encode()


def _json(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> HTTPResponse:
    return HTTPResponse(body, status.value, {"Content-Type": "application/json"})


def _picture(body: bytes, kind: str) -> HTTPResponse:
    return HTTPResponse(body, HTTPStatus.OK.value, {"Content-Type": kind, "Cache-Control": FOREVER})
