"""The web server: Optuna Dashboard's own application, with our answers where they say more or come sooner.

It listens on this machine alone, but so does every page that a browser here has open: one that has its name point at this
machine (DNS rebinding) is refused by the name it asks for, and one that sends a form here by the page it comes from.
Nothing but a note can be written.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from io import BytesIO
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from nas.dashboard.detail import StudyDetail
from nas.dashboard.pictures import curve_svg, front_svg, network_svg
from nas.dashboard.upstream import wsgi
from nas.errors import NasError, StorageError
from nas.objectives import metric_of
from nas.text.sanitize import read_json

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from nas.store import Store

HOST: Final = "127.0.0.1"
OWN_NAMES: Final = frozenset({HOST, "localhost"})
"""Names under which a browser may know this machine; with any port, because an SSH tunnel may have another one."""
PICTURE: Final = {
    "Cache-Control": "private, max-age=31536000, immutable",  # the address changes with what is shown
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
}
READING: Final = frozenset({"GET", "HEAD"})
NOTE: Final = re.compile(r"/api/studies/\d{1,18}(/\d{1,18})?/note")
MOST_BYTES: Final = 1 << 20
"""Largest note in bytes."""
FAILED: Final = (
    "Optuna Dashboard could not read this from Optuna's tables: a row of them may be damaged, and a backup may have it "
    "whole; nas study list and nas report read the tables of nas"
)
LONG_NUMBER: Final = re.compile(r"/\d{19,}(/|$)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What goes back to the browser."""

    body: bytes
    kind: str = "application/json"
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def refusal(cls, reason: str, status: HTTPStatus) -> Answer:
        """A refusal in the form in which the dashboard's page reads it."""
        return cls(json.dumps({"reason": reason}).encode(), status=status)


Query: TypeAlias = Mapping[str, str]


class Dashboard:
    """The dashboard of one database, on this machine only. `serve` runs until `stop` or an interrupt."""

    def __init__(self, store: Store, study: str | None = None, port: int = 8080) -> None:
        """Takes the port. `study` is shown first. Raises NasError when the port cannot be had."""
        self._store = store
        self._details: dict[str, StudyDetail] = {}
        self._lock = threading.Lock()
        self._first = study
        self._theirs: WSGIApplication = wsgi(store.optuna_storage())
        logging.getLogger("optuna_dashboard").setLevel(logging.CRITICAL)  # it logs tracebacks; FAILED says it in a line
        self._routes: tuple[tuple[re.Pattern[str], Callable[..., Answer | None]], ...] = (
            (re.compile(r"/api/studies/(\d{1,18})"), self._study),
            (re.compile(r"/nas/network/(\d{1,18})/([0-9a-f]+)\.svg"), self._network),
            (re.compile(r"/nas/curve/(\d{1,18})/(\d{1,18})\.svg"), self._curve),
            (re.compile(r"/nas/front/(\d{1,18})-(\d{1,18})-\d+\.svg"), self._front),
        )
        try:
            self._server = make_server(HOST, port, self._application, server_class=_Server, handler_class=_Quiet)
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                raise NasError(f"port {port} on {HOST} is in use; name another with --port") from None
            raise NasError(f"port {port} on {HOST}: {problem.strerror or problem}") from None

    @property
    def url(self) -> str:
        """Address at which it is seen."""
        place = f"http://{HOST}:{self._server.server_port}/dashboard"
        return place if self._first is None else f"{place}/studies/{self._store.optuna_ids(self._first)[0]}"

    def serve(self) -> None:
        """Answers requests until `stop`."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def stop(self) -> None:
        """Ends `serve`; may be called from another thread."""
        self._server.shutdown()

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Ours is asked first; what it does not know, Optuna Dashboard answers."""
        answer = _refused(environ) or self._ours(environ) or _unknown(environ)
        if answer is None:
            status, headers, body = _ask(self._theirs, environ)
            if not status.startswith("500"):
                start_response(status, headers)
                return body
            answer = Answer.refusal(FAILED, HTTPStatus.INTERNAL_SERVER_ERROR)
        own = {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
            "X-Content-Type-Options": "nosniff",
        }
        start_response(f"{answer.status.value} {answer.status.phrase}", list((own | answer.headers).items()))
        return [answer.body]

    def _ours(self, environ: WSGIEnvironment) -> Answer | None:
        if environ["REQUEST_METHOD"] != "GET":
            return None
        for pattern, answer in self._routes:
            match = pattern.fullmatch(environ["PATH_INFO"])
            if match:
                query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
                return _guarded(partial(answer, query, *match.groups()))
        return None

    def _study(self, query: Query, optuna_id: str) -> Answer | None:
        try:
            name = self._store.optuna_storage().get_study_name_from_id(int(optuna_id))
        except KeyError:
            return Answer.refusal(f"no study number {optuna_id}", HTTPStatus.NOT_FOUND)
        if not self._store.has_study(name):  # of someone who uses Optuna in the same database
            return None
        after = query.get("after", "0")
        if not (after.isdecimal() and len(after) <= 18):
            return Answer.refusal("after: must be a number from 0", HTTPStatus.BAD_REQUEST)
        return Answer(self._detail(name).answer(int(after)))

    def _network(self, query: Query, study_id: str, digest: str) -> Answer:
        study = self._by_id(int(study_id)).study
        return Answer(network_svg(study, self._store.architecture(digest)), "image/svg+xml", headers=PICTURE)

    def _curve(self, query: Query, study_id: str, number: str) -> Answer:
        detail = self._by_id(int(study_id))
        points = detail.curve(int(number))
        if not points:
            raise StorageError(f"study '{detail.study.name}': trial {number} has no learning curve")
        return Answer(curve_svg(points, metric_of(detail.study.objectives)), "image/svg+xml", headers=PICTURE)

    def _front(self, query: Query, study_id: str, count: str) -> Answer:
        detail = self._by_id(int(study_id))
        detail.refresh()
        picture = front_svg(detail.study, detail.trials.head(int(count)), self._store.measurements())
        return Answer(picture, "image/svg+xml", headers=PICTURE)

    def _detail(self, name: str) -> StudyDetail:
        with self._lock:
            if name not in self._details:
                self._details[name] = StudyDetail(self._store, name)
            return self._details[name]

    def _by_id(self, study_id: int) -> StudyDetail:
        for name in [study["study"] for study in self._store.studies()]:
            detail = self._detail(str(name))
            if detail.study.id == study_id:
                return detail
        raise StorageError(f"no study number {study_id}")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True
    # A page with many drawings asks for all of them at once. With the usual 5, half of 200 were lost and the rest took 150 s.
    request_queue_size = 128

    def server_bind(self) -> None:
        # Reuse lets two servers share a port on some systems; who asks for a port in use must be told.
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if self.server_address[1] and probe.connect_ex((HOST, int(self.server_address[1]))) == 0:
                raise OSError(errno.EADDRINUSE, "in use")
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        _log.debug(format, *arguments)


def _ask(application: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, list[tuple[str, str]], Iterable[bytes]]:
    """Status, headers and body of what `application` answers."""
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], _: object = None, /) -> Callable[[bytes], object]:
        begun.append((status, headers))
        return lambda written: None  # none of theirs writes beside what it returns

    body = application(environ, start)
    return *begun[-1], body


def _refused(environ: WSGIEnvironment) -> Answer | None:
    """Why a request is none of this dashboard's own page, or wants what the dashboard does not do."""
    host, method, path = environ.get("HTTP_HOST", ""), environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if _name(host) not in OWN_NAMES:
        return Answer.refusal(f"this is {HOST}, open it by this name or as localhost", HTTPStatus.FORBIDDEN)
    if method in READING:
        return None
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and _place(origin) != host:
        return Answer.refusal("only the dashboard's own page may write", HTTPStatus.FORBIDDEN)
    if method != "PUT" or not NOTE.fullmatch(path):
        reason = "nas dashboard changes nothing but notes; what a study holds is written by nas alone"
        return Answer.refusal(reason, HTTPStatus.FORBIDDEN)
    if _json(environ) is None:
        return Answer.refusal("a note is JSON", HTTPStatus.BAD_REQUEST)
    return None


def _unknown(environ: WSGIEnvironment) -> Answer | None:
    """A number that no study has: databases hold none with more than 18 digits."""
    if LONG_NUMBER.search(environ["PATH_INFO"]):
        return Answer.refusal("no such study or trial", HTTPStatus.NOT_FOUND)
    return None


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # half of an address in brackets
        return None


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _json(environ: WSGIEnvironment) -> bytes | None:
    """The body of a note, which is read once and put back; None where it is no JSON object."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or len(length) > 8 or int(length) > MOST_BYTES:
        return None
    body = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(body)
    try:
        return body if isinstance(read_json(body), dict) else None
    except ValueError:
        return None


def _guarded(answer: Callable[[], Answer | None]) -> Answer | None:
    """A mistake becomes a line in the answer instead of a page of traceback."""
    try:
        return answer()
    except StorageError as problem:
        return Answer.refusal(str(problem), HTTPStatus.NOT_FOUND)
    except NasError as problem:
        return Answer.refusal(str(problem), HTTPStatus.BAD_REQUEST)
    except json.JSONDecodeError as problem:  # ours are looked at as they are read
        reason = f"a row of Optuna's tables is damaged: {problem}; a backup may have it whole"
        return Answer.refusal(reason, HTTPStatus.INTERNAL_SERVER_ERROR)
