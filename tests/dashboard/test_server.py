"""The web server: pictures, and who may ask for what."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nas.cli import main
from nas.dashboard import Dashboard, upstream
from nas.errors import NasError
from nas.store import Store
from tests.dashboard.conftest import ask, detail, serving


def _svg(address: str, path: str) -> ET.Element:
    status, body = ask(address + path)
    assert status == 200, body
    return ET.fromstring(body)


def test_drawings_and_curves(store: Store, address: str) -> None:
    digest = store.trial("first", 0).hash
    drawing = _svg(address, f"/nas/network/1/{digest}.svg")
    assert {"classifier", "inverted_residual"} <= {element.text for element in drawing.iter() if element.text}
    curve = _svg(address, "/nas/curve/1/0.svg")
    assert len(curve.findall(".//{*}circle")) == 3
    front = _svg(address, "/nas/front/1-12-0.svg")
    picture = front.find("{*}image")
    assert picture is not None
    assert picture.attrib["href"].startswith("data:image/png;base64,iVBOR")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nas/network/1/abcdef.svg", "no architecture 'abcdef'"),
        ("/nas/network/7/abcdef.svg", "no study number 7"),
        ("/nas/curve/1/5.svg", "trial 5 has no learning curve"),
        ("/nas/curve/1/500.svg", "trial 500 has no learning curve"),
        ("/api/studies/9", "no study number 9"),
    ],
)
def test_what_is_not_there(address: str, path: str, reason: str) -> None:
    status, body = ask(address + path)
    assert status == 404
    assert reason in body.decode()


def test_a_damaged_row_of_optuna_is_an_answer_and_no_traceback(
    store: Store, address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.execute("UPDATE study_system_attributes SET value_json = '{'")
    database.close()
    status, body = ask(f"{address}/api/studies/1")
    assert status == 500
    assert json.loads(body)["reason"].startswith("a row of Optuna's tables is damaged: ")
    status, body = ask(f"{address}/api/studies")
    assert status == 500
    assert "Optuna's tables: a row of them may be damaged" in json.loads(body)["reason"]
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert "File " not in printed


def test_a_place_that_is_none(address: str) -> None:
    for after in ("-1", "x", "%C2%B2"):
        assert ask(f"{address}/api/studies/1?after={after}")[0] == 400


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.168.0.7", ""])
def test_a_name_of_another_machine_is_refused(address: str, host: str) -> None:
    for path in ("/api/studies", "/api/studies/1", "/dashboard", "/nas/front/1-1-0.svg", "/csv/1", "/static/bundle.js"):
        status, body = ask(address + path, headers={"Host": host})
        assert status == 403
        assert b"127.0.0.1" in body


def test_a_tunnel_may_have_another_port(address: str) -> None:
    for host in ("localhost", "localhost:9000", "127.0.0.1:9000"):
        assert ask(f"{address}/api/studies", headers={"Host": host})[0] == 200


def test_another_page_may_not_write_a_note(address: str) -> None:
    note = {"version": 1, "body": "theirs"}
    for origin in ("https://evil.example", "null", "http://localhost:1"):
        status, _ = ask(f"{address}/api/studies/1/note", method="PUT", data=note, headers={"Origin": origin})
        assert status == 403
    assert "theirs" not in detail(address)["note"]["body"]
    status, _ = ask(f"{address}/api/studies/1/note", method="PUT", data=note, headers={"Origin": address})
    assert status == 204


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("DELETE", "/api/studies/1", {}),
        ("POST", "/api/studies/1/rename", {"study_name": "other"}),
        ("POST", "/api/studies", {"study_name": "other", "directions": ["minimize"]}),
        ("POST", "/api/trials/1/tell", {"state": "Complete", "values": [1, 1]}),
        ("POST", "/api/trials/1/user-attrs", {"user_attrs": {"hash": "0"}}),
    ],
)
def test_nothing_but_notes_can_be_written(address: str, method: str, path: str, data: object) -> None:
    before = ask(f"{address}/api/studies")
    trials = detail(address)["trials"]
    status, body = ask(address + path, method=method, data=data)
    assert status == 403
    assert b"changes nothing but notes" in body
    assert ask(f"{address}/api/studies") == before
    assert detail(address)["trials"] == trials


def test_a_port_in_use_and_one_that_is_none(store: Store) -> None:
    with serving(store) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(NasError, match=f"port {port} on 127.0.0.1 is in use; name another with --port"):
            Dashboard(store, port=port)


def test_another_release_of_optuna_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard._serializer", None)
    with pytest.raises(
        NasError, match=r"needs Optuna Dashboard 0\.20 and 0\.21; release [\d.]+ is installed .*pip install"
    ):
        importlib.reload(upstream)


@pytest.mark.long
def test_the_command_serves_until_it_is_ended(store: Store, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nas", "dashboard", "--storage", str(store.url), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ.copy()
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert address.endswith("/dashboard/studies/1")
        assert b"Optuna Dashboard" in ask(address)[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_study_that_is_not_there(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", "--storage", str(store.url), "--study", "frist"])
    assert ended.value.code == 2
    assert "no study 'frist'; did you mean 'first'?" in capsys.readouterr().err
