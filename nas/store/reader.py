"""Opening a study database and reading it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import URL, Engine, func, inspect, select

from nas.architecture.architecture import Architecture
from nas.errors import AssignmentError, StorageError, nearest
from nas.states import COMPLETE, RUNNING
from nas.store import (
    connection,
    damaged,
    frames,
    measurements,
    migration,
    optuna_projection,
    outlines,
    readings,
    study_blocks,
    values,
)
from nas.store import gpu_memory as memories
from nas.store.connection import DEFAULT_URL, reading, writing
from nas.store.file_guard import Lifeline
from nas.store.gpu_memory import Memory
from nas.store.lease import read_owner
from nas.store.readings import Reading
from nas.store.records import PastResult, StudyRow, TrialRow
from nas.store.schema import (
    VERSION,
    ArchitectureRow,
    Base,
    ChoiceRow,
    EpochRow,
    EpochValueRow,
    Schema,
    Study,
    Trial,
)

if TYPE_CHECKING:
    import pandas as pd
    from optuna.storages import RDBStorage

    from blocks.base import Scalar
    from nas.space.outline import Parameter


class Reader:
    """An open study database, as far as any process may use it."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self.url = url
        self._engine = engine
        self._optuna: RDBStorage | None = None
        self._lifeline: Lifeline | None = None

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, create: bool = False) -> Self:
        """Opens a study database; with `create` it may be a new one, without it opening writes nothing.

        But one that an older nas has written gets the tables of this one, whoever opens it. Raises StorageError for a URL
        that is none, a file that is missing or no study database, one that a newer nas has written, and a server that
        does not answer.
        """
        parsed = connection.parse(url)
        return cls(parsed, connection.connect(parsed, create=create))._ready(create)

    def _ready(self, create: bool) -> Self:
        """This store, once its tables are found to be those of this nas."""
        try:
            with connection.explained(self.url):
                if create:
                    connection.retry_race(self.url, self._create_tables)
                self._check_tables()
            if create and connection.is_sqlite(self.url):
                self._lifeline = Lifeline(self.url)
        except StorageError:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Lets go of every connection."""
        self._engine.dispose()
        if self._lifeline is not None:
            self._lifeline.close()
        if self._optuna is not None:
            self._optuna.remove_session()
            self._optuna.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def shown_url(self) -> str:
        """The URL with the password masked."""
        return connection.shown(self.url)

    @property
    def file(self) -> Path | None:
        """The file of the database; None where a server has it."""
        return Path(self.url.database or "").absolute() if connection.is_sqlite(self.url) else None

    def optuna_storage(self) -> RDBStorage:
        """Optuna's view of this database. Its tables are made when they are not there."""
        if self._optuna is None:
            self._optuna = connection.optuna_storage(self.url)
        return self._optuna

    # Studies

    def study(self, name: str) -> StudyRow:
        """The study of that name. Raises StorageError that names the nearest one when there is none."""
        with reading(self._engine) as session:
            values.definitions(session)
            row = session.scalars(select(Study).where(Study.name == name)).one_or_none()
            if row is not None:
                return StudyRow.of(row, study_blocks.of(session, row.id), values.learned_by(session, row.id))
            names = session.scalars(select(Study.name).order_by(Study.id)).all()
        others = nearest(name, names) or (f"; there are {', '.join(names[:8])}" if names else "; it holds none")
        raise StorageError(f"storage '{self.shown_url}': no study '{name}'{others}")

    def has_study(self, name: str) -> bool:
        """Whether there is a study of that name."""
        with reading(self._engine) as session:
            return session.scalar(select(Study.id).where(Study.name == name)) is not None

    def studies(self) -> list[dict[str, Any]]:
        """One record per study; keys as in `frames.studies`. Without pandas, whose import takes longer than all else."""
        with reading(self._engine) as session:
            values.definitions(session)
            return frames.studies(session.connection())

    def driver(self, study: str) -> str | None:
        """The process that runs the study, in words, as far as is known; None when it is dead."""
        row = self.study(study)
        with reading(self._engine) as session:
            owner = read_owner(session, self._engine, row.id)
        return None if owner.lives is False else str(owner)

    # Trials

    def trials(self, study: str, *, assignments: bool = True, since: int = 0) -> pd.DataFrame:
        """One row per finished trial from number `since` on, in the order of finishing; columns as in `frames.trials`."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.trials(session.connection(), row, assignments=assignments, since=since)

    def paused(self, study: str) -> pd.DataFrame:
        """One row per trial that is paused, in the order in which they began; columns as in `frames.trials`."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.trials(session.connection(), row, paused=True)

    def front(self, study: str) -> pd.DataFrame:
        """The finished trials that no other one beats, cheapest first; columns as in `frames.trials`."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.front(session.connection(), row)

    def trial(self, study: str, number: int) -> TrialRow:
        """The finished trial with this number. Raises StorageError that says which numbers there are."""
        row = self.study(study)
        query = select(Trial).where(Trial.study_id == row.id, Trial.number == number)
        with reading(self._engine) as session:
            trial = session.scalars(query).one_or_none()
            if trial is not None:
                return TrialRow.of(trial, values.of_trial(session, trial.id))
            last = session.scalar(select(func.max(Trial.number)).where(Trial.study_id == row.id))
        there = "none has finished yet" if last is None else f"they are numbered from 0 to {last}"
        raise StorageError(f"study '{row.name}': no trial {number}; {there}")

    def trials_of(self, digest: str) -> list[tuple[str, int]]:
        """Study and number of every finished trial whose hash begins with `digest`, the most accurate first."""
        query = (
            select(Study.name, Trial.number)
            .join(Study, Study.id == Trial.study_id)
            .where(Trial.hash.startswith(digest, autoescape=True), Trial.number.is_not(None))
            .order_by(Trial.accuracy.is_(None), Trial.accuracy.desc(), Trial.id)
        )
        with reading(self._engine) as session:
            return [(str(study), int(number or 0)) for study, number in session.execute(query)]

    def epochs(self, study: str, *, since: int | None = None) -> pd.DataFrame:
        """The learning curves, or those of the finished trials from number `since` on; columns as in `frames.epochs`."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.epochs(session.connection(), row, since=since)

    def choices(self, study: str) -> dict[str, tuple[Scalar, ...]]:
        """The options of every choice that the study has met."""
        row = self.study(study)
        query = select(ChoiceRow.name, ChoiceRow.options).where(ChoiceRow.study_id == row.id).order_by(ChoiceRow.name)
        with reading(self._engine) as session:
            return {name: tuple(damaged.sequence(options, "options")) for name, options in session.execute(query)}

    def outline_parameters(self, study: str) -> dict[str, Parameter]:
        """What the outlines of the study's networks have, in order; nothing of a study that was begun without outlines."""
        row = self.study(study)
        with reading(self._engine) as session:
            return outlines.parameters(session, row.id)

    def outlines(self, study: str, *, since: int = 0) -> dict[int, dict[str, Scalar]]:
        """The outlines of the networks of finished trials from number `since` on; none of a study without outlines."""
        row = self.study(study)
        with reading(self._engine) as session:
            return outlines.of_study(session, row.id, since) if outlines.parameters(session, row.id) else {}

    def optuna_ids(self, study: str, *, since: int = 0) -> tuple[int, dict[int, int]]:
        """Optuna's id of the study, and of its trials from number `since` on, by their number.

        Raises StorageError when Optuna has no such study, because someone deleted it there.
        """
        with reading(self._engine) as session:
            found = optuna_projection.study_id(session, study)
            if found is None:
                raise StorageError(
                    f"storage '{self.shown_url}': Optuna's copy of study '{study}' is gone; the next `nas search` of it "
                    "writes it anew"
                )
            return found, optuna_projection.optuna_ids(session, found, since)

    def environments(self, study: str) -> dict[str, dict[str, Any]]:
        """What the trials were measured on, by hash, the most used first."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.environments(session.connection(), row)

    def has_measurements(self) -> bool:
        """Whether there is any replay or retraining."""
        with reading(self._engine) as session:
            return measurements.any_there(session.connection())

    def measurements(self) -> pd.DataFrame:
        """Every replay and retraining; columns as in `measurements.frame`."""
        with reading(self._engine) as session:
            return measurements.frame(session.connection())

    def readings(self, digest: str, name: str) -> list[Reading]:
        """What was measured under this name of the network with this hash, the latest first."""
        with reading(self._engine) as session:
            return readings.of(session, digest, name)

    def every_reading(self, name: str) -> list[Reading]:
        """What was measured under this name of any network, the latest first."""
        with reading(self._engine) as session:
            return readings.every(session, name)

    def readings_of_study(self, study: str, name: str) -> list[Reading]:
        """One of the readings of this name of the study's trials for each device and settings."""
        row = self.study(study)
        with reading(self._engine) as session:
            return readings.of_study(session, row.id, name)

    def memories(self, study: str) -> list[Memory]:
        """What the study's trials took of a GPU's memory, in the order in which they began."""
        row = self.study(study)
        with reading(self._engine) as session:
            return memories.of_study(session, row.id)

    def running(self, study: str) -> int:
        """How many trials are marked as running (by a driver that may be dead: see `driver`)."""
        row = self.study(study)
        query = select(func.count()).where(Trial.study_id == row.id, Trial.state == RUNNING)
        with reading(self._engine) as session:
            return session.execute(query).scalar_one()

    def architecture(self, digest: str) -> Architecture:
        """The network with this hash. Raises StorageError when no trial of the database had it."""
        with reading(self._engine) as session:
            text = session.scalar(select(ArchitectureRow.json).where(ArchitectureRow.hash == digest))
        if text is None:
            raise StorageError(f"storage '{self.shown_url}': no architecture '{digest}'")
        try:
            return Architecture.from_json(text)
        except AssignmentError as problem:
            raise StorageError(f"storage '{self.shown_url}': the row of network {digest[:8]}: {problem}") from None

    def networks(self, study: str) -> dict[str, str]:
        """The JSON of every network of the study's trials, by hash."""
        row = self.study(study)
        query = (
            select(ArchitectureRow.hash, ArchitectureRow.json)
            .where(ArchitectureRow.hash.in_(select(Trial.hash).where(Trial.study_id == row.id)))
            .order_by(ArchitectureRow.hash)
        )
        with reading(self._engine) as session:
            return {found.hash: found.json for found in session.execute(query)}

    def find_result(self, study: str, digest: str, states: Sequence[str] = (COMPLETE,)) -> PastResult | None:
        """The first finished trial, of any study, of this architecture on the same task under the same recipe.

        It is one that was trained, never one that took over a result itself.
        """
        query = (
            select(
                Trial.id.label("row"),
                Study.name.label("study"),
                Trial.number,
                Trial.state,
                Trial.device,
                Trial.environment,
                *(getattr(Trial, name) for name in values.EPOCH_COLUMNS),
            )
            .join(Study, Study.id == Trial.study_id)
            .where(Trial.key == self._row(study).key(digest), Trial.state.in_(states), Trial.source.is_(None))
            .order_by(Trial.id)
            .limit(1)
        )
        with reading(self._engine) as session:
            row = session.execute(query).mappings().one_or_none()
            return None if row is None else PastResult.of(row, values.of_trial(session, row["row"]))

    def curve(self, row: int) -> list[tuple[int, dict[str, float | None]]]:
        """Each point of the learning curve of the trial in this row: its epoch, and what was measured after it, by name."""
        columns = [getattr(EpochRow, name) for name in values.EPOCH_COLUMNS]
        query = select(EpochRow.epoch, *columns).where(EpochRow.trial_id == row).order_by(EpochRow.epoch)
        more = select(EpochValueRow.epoch, EpochValueRow.name, EpochValueRow.value)
        with reading(self._engine) as session:
            found = {one[0]: dict(zip(values.EPOCH_COLUMNS, one[1:], strict=True)) for one in session.execute(query)}
            for epoch, name, value in session.execute(more.where(EpochValueRow.trial_id == row)):
                found[epoch][name] = value
        return list(found.items())

    def accuracies(self, study: str, epochs: Sequence[int], *, paused: bool = False) -> pd.DataFrame:
        """What the finished trials, and with `paused` those that are, were worth at these epochs; as `frames.accuracies`."""
        row = self.study(study)
        with reading(self._engine) as session:
            return frames.accuracies(session.connection(), row, epochs, paused=paused)

    # Inside

    def _row(self, study: str) -> StudyRow:
        return self.study(study)

    def _create_tables(self) -> None:
        tables = set(inspect(self._engine).get_table_names())
        if Schema.__tablename__ in tables:
            self._check_tables()  # before Optuna adds its tables to a database that is not ours to write
        elif tables and connection.is_sqlite(self.url) and not tables >= {"studies", "trials"}:
            raise StorageError(
                f"storage '{self.shown_url}': {self.url.database} is a database of something else (it has the table "
                f"'{min(tables)}'); name another file"
            )
        else:
            with writing(self._engine) as session:
                Base.metadata.create_all(session.connection())
                if session.scalar(select(Schema.version)) is None:
                    session.add(Schema(version=VERSION))
        with writing(self._engine) as session:
            optuna_projection.create_tables(session)
        self.optuna_storage()

    def _check_tables(self) -> None:
        if not inspect(self._engine).has_table(Schema.__tablename__):
            raise StorageError(f"storage '{self.shown_url}': no study database (it has no table nas_schema)")
        with reading(self._engine) as session:
            version = session.scalar(select(Schema.version))
        if migration.is_older(version):
            migration.upgrade(self._engine)
        elif version != VERSION:
            raise StorageError(
                f"storage '{self.shown_url}': its tables have version {version}, this nas reads version {VERSION}; "
                + ("upgrade nas" if (version or 0) > VERSION else "use the nas that wrote it, or another file")
            )
