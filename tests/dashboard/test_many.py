"""The dashboard under many requests at once, and asked for what nobody has."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest


def test_a_burst_of_requests_is_answered(address: str) -> None:
    def ask(_: int) -> int:
        with urlopen(f"{address}/api/studies", timeout=240) as answer:
            answer.read()
            return int(answer.status)

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(ask, range(200))) == [200] * 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/studies/" + "9" * 26,
        "/api/studies/" + "9" * 26 + "/trials",
        "/nas/network/" + "9" * 26 + "/00.svg",
        "/nas/curve/1/" + "9" * 26 + ".svg",
        "/api/studies/999999999999999999",
    ],
)
def test_a_number_that_no_study_has_is_not_found(address: str, path: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{address}{path}", timeout=240)
    assert refused.value.code == 404


@pytest.mark.parametrize("host", ["[", "[::1", "", "evil.example", "127.0.0.1.evil.example"])
def test_a_host_that_is_none_of_ours_is_refused(address: str, host: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=240)
    connection.putrequest("GET", "/api/studies", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"[" * 100_000, b""])
def test_a_note_that_is_no_json_is_a_bad_request(address: str, body: bytes) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(
            Request(f"{address}/api/studies/1/note", body, {"Content-Type": "application/json"}, method="PUT"),
            timeout=240,
        )
    assert refused.value.code == 400
