"""The same on a PostgreSQL server."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

import optuna
import pytest

from nas.errors import StorageError
from nas.store import Reconciled, Store
from tests.postgres import PostgresServer
from tests.store.filling import fill, finish, make_study, start


@pytest.fixture
def address(postgres: PostgresServer) -> str:
    return postgres.database()


def test_a_study_on_a_server(address: str) -> None:
    with Store.open(address, create=True) as store:
        make_study(store, space="attn_cnn", outlined=True)
        fill(store, "first", 12, space="attn_cnn")
        with store.claim("first"):
            start(store, "first", random.Random(9), "attn_cnn")
            with (
                Store.open(address, create=True) as other,
                pytest.raises(StorageError, match="is running it"),
                other.claim("first"),
            ):
                pass
        frame = store.trials("first")
        assert frame["state"].value_counts().to_dict() == {"complete": 10, "diverged": 2, "interrupted": 1}
        trials = optuna.load_study(study_name="first", storage=store.optuna_storage()).trials
        assert {trial.number: trial.params for trial in trials} == store.outlines("first")
        assert [trial.user_attrs["choices"] for trial in trials] == frame["assignment"].tolist()
        assert [trial.user_attrs["hash"] for trial in trials] == frame["hash"].tolist()
        optuna.delete_study(study_name="first", storage=store.optuna_storage())
        with store.claim("first") as repaired:
            assert repaired == Reconciled(0, 13)
            finish(store, start(store, "first", random.Random(10), "attn_cnn"))
        again = optuna.load_study(study_name="first", storage=store.optuna_storage()).trials
        assert [trial.number for trial in again] == list(range(14))
        assert [study["trials"] for study in store.studies()] == [14]
        assert len(store.epochs("first")) == 33
        assert store.driver("first") is None


def test_refusals_keep_the_password(address: str) -> None:
    parts = urlsplit(address)
    wrong = f"postgresql://{parts.username}:hunter2@{parts.hostname}:{parts.port}{parts.path}"
    with pytest.raises(StorageError) as caught:
        Store.open(wrong)
    assert "password authentication failed" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="no study database"):
        Store.open(address)
