"""The study database: our tables and Optuna's in one place, one writer a study, any number of readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blocks.base import Scalar
from blocks.counting import COUNTING_RULES
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost
from nas.config.block_files import Origin
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.errors import StorageError, StudyExists, nearest
from nas.objectives import OBJECTIVES
from nas.space.grammar import Bounds
from nas.space.outline import Parameter
from nas.space.space import Space
from nas.states import COMPLETE
from nas.store import (
    checkpoint_folders,
    connection,
    deletion,
    gpu_memory,
    measurements,
    optuna_projection,
    outlines,
    readings,
    recounting,
    study_blocks,
    values,
)
from nas.store import transactions as steps
from nas.store.connection import DEFAULT_URL, reading, writing
from nas.store.gpu_memory import Memory
from nas.store.lease import Heart
from nas.store.measurements import Measured
from nas.store.reader import Reader
from nas.store.readings import Reading
from nas.store.records import PastResult, Reconciled, StudyRow, TrialResult
from nas.store.recounting import Recounted, Replays
from nas.store.retry import Patience
from nas.store.schema import Measurement, Study, Trial, dump, utc_now
from nas.text.formatting import shorten
from nas.text.sanitize import problem_of_name


@dataclass
class _Claim:
    study: StudyRow
    heart: Heart
    known: steps.Known = field(default_factory=steps.Known)
    rows: set[int] = field(default_factory=set)
    """Rows of the trials that this process has begun."""
    resumable: Callable[[int], bool] | None = None


class Store(Reader):
    """An open study database. Make one with `Store.open`, end with `close` or a ``with`` block.

    Every method raises StorageError, one line without the password, when the database does not answer; those that write
    trials wait for it first, as `patience` says.
    """

    def __init__(self, url: URL, engine: Engine, patience: Patience | None = None) -> None:
        super().__init__(url, engine)
        self._claims: dict[int, _Claim] = {}
        self.patience = patience or Patience()

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, create: bool = False, patience: Patience | None = None) -> Self:
        """As `Reader.open`; `patience` says who is told when the database is waited for, and for how long it is."""
        parsed = connection.parse(url)
        return cls(parsed, connection.connect(parsed, create=create), patience)._ready(create)

    def create_study(
        self,
        name: str,
        *,
        space: Space,
        task: LoadedTask,
        recipe: Recipe,
        objectives: Sequence[str],
        seed: int = 0,
        constraints: Mapping[str, Bounds] | None = None,
        blocks: Mapping[str, Origin] | None = None,
        outline: Mapping[str, Parameter] | None = None,
    ) -> StudyRow:
        """Makes a study, here and for Optuna. The space's file is kept with it.

        `outline` has the parameters of the outlines of its networks, which Optuna is told; without it Optuna is told every choice.
        `blocks`: where those of the space's blocks come from that are a user's own.

        Raises StudyExists when there is one of that name, StorageError when the name is that of a study of Optuna's that
        is not ours, and for an objective that does not exist.
        """
        if problem := problem_of_name(name):
            raise StorageError(f"study {shorten(name)}: {problem}")
        for objective in objectives:
            if objective not in OBJECTIVES:
                raise StorageError(
                    f"study '{name}': no objective '{objective}'; there are {', '.join(OBJECTIVES)}"
                    f"{nearest(objective, OBJECTIVES)}"
                )
        if not objectives or len(set(objectives)) < len(objectives):
            raise StorageError(f"study '{name}': objectives must be one or more different ones, not {list(objectives)}")
        storage = self.optuna_storage()
        exists = f"storage '{self.shown_url}': there is a study '{name}' already"
        with self._one_of_two(exists), self._writing() as session:
            if session.scalar(select(Study.id).where(Study.name == name)) is not None:
                raise StudyExists(exists)
            if optuna_projection.study_id(session, name) is not None:
                raise StorageError(
                    f"storage '{self.shown_url}': Optuna has a study '{name}' here that nas did not make; name another"
                )
            values.define(session, (*objectives, *(constraints or {})))
            row = Study(
                name=name,
                space_name=space.name,
                space_text=space.text,
                space_fingerprint=space.fingerprint,
                task=dump(task.to_dict()),
                recipe=dump(recipe.to_dict()),
                objectives=dump(list(objectives)),
                constraints=dump({name: asdict(bounds) for name, bounds in (constraints or {}).items()}),
                seed=seed,
                created_at=utc_now(),
                counting_rules=COUNTING_RULES,
            )
            session.add(row)
            session.flush()
            if blocks:
                study_blocks.record(session, row.id, blocks)
            if outline:
                outlines.define(session, row.id, outline)
        with connection.explained(self.url):
            optuna_projection.create_study(storage, name, objectives)
        return self.study(name)

    @contextmanager
    def claim(self, study: str, resumable: Callable[[int], bool] | None = None) -> Iterator[Reconciled]:
        """Makes this process the only one that writes trials of the study while the block runs, and repairs it first.

        Raises StorageError that names the owner when another living process runs the study; where that is not known it is
        waited for a sign of life, for a minute at most, and `patience.notify` told. Trials still running at the end of the
        block are marked as interrupted, or as paused where they are `resumable`, by their row. None: nothing is known of those
        that are paused.
        """
        row = self.study(study)
        self.patience(lambda again: connection.check_pages(self._engine))
        heart = Heart(self._engine, row.id, row.name, self._check_file)
        self.patience(lambda again: heart.listen(self.patience.notify))
        self.patience(lambda again: heart.take())
        claim = self._claims[row.id] = _Claim(row, heart, resumable=resumable)
        try:
            yield self.reconcile(study)
        finally:
            heart.stop()
            del self._claims[row.id]
            self.patience(lambda again: self._leave(claim))

    def reconcile(self, study: str) -> Reconciled:
        """Repairs what a killed driver left: ends its running trials as interrupted, gives Optuna what it lacks.

        `claim` has done it already. Raises StorageError when this process has not claimed the study.
        """
        claim = self._claimed_by_name(study)

        def end(again: bool) -> int:
            with self._writing() as session:
                claim.heart.beat(session)
                claim.known = steps.Known(steps.choices(session, claim.study), steps.outline_of(session, claim.study))
                return steps.leave_running(session, claim.study, "the driver was killed", claim.resumable)

        interrupted = self.patience(end)
        return Reconciled(interrupted, self.patience(lambda again: self._project_all(claim)))

    def recount(self, study: str, progress: Callable[[int, int], None] = lambda done, total: None) -> Recounted:
        """Counts the costs of every trial again, by the rules of this nas, here and for Optuna.

        `progress` is told how many networks of how many are counted. Raises StorageError when this process has not claimed
        the study, and for a network that cannot be counted; then nothing is changed.
        """
        claim = self._claimed_by_name(study)
        costs = recounting.count(self.networks(study), claim.study, progress)

        def write(again: bool) -> Recounted:
            with writing(self._engine) as session:
                claim.heart.beat(session)
                return recounting.write(session, claim.study, costs)

        return self.patience(write)

    def recount_replays(self) -> Replays:
        """Counts the costs of measured networks that belong to no study again: published ones that were replayed."""
        with reading(self._engine) as session:
            changes, found = recounting.count_replays(session)

        def write(again: bool) -> None:
            with writing(self._engine) as session:
                session.execute(update(Measurement), changes)

        if changes:
            self.patience(write)
        return found

    def start_trial(
        self,
        study: str,
        *,
        assignment: Mapping[str, Scalar],
        options: Mapping[str, Sequence[Scalar]],
        architecture: Architecture,
        cost: Cost,
        published: str | None = None,
        outline: Mapping[str, Scalar] | None = None,
    ) -> int:
        """Records that a trial runs. Returns its row in `nas_trials`, which is not its number: that is given at the finish.

        `options` has the options of every choice in `assignment`; they must be the same in all trials of a study. `outline`
        has a value of each parameter that the study was made with.
        """
        claim = self._claimed_by_name(study)
        new = steps.check_choices(claim.study, claim.known.choices, assignment, options)
        drawn = steps.check_outline(claim.study, claim.known.outline, outline or {})

        def write(again: bool) -> int:
            with self._writing() as session:
                claim.heart.beat(session)
                begun = steps.running(session, claim.study, architecture.hash) if again else None
                if begun is not None:
                    return begun
                return steps.start(session, claim.study, new, assignment, architecture, cost, published, drawn)

        row = self.patience(write)
        claim.rows.add(row)
        claim.known.choices.update(new)
        return row

    def record_epochs(self, study: str, curves: Mapping[int, Sequence[Mapping[str, object]]]) -> None:
        """Adds points, with the names of `nas_epochs`, to the learning curves of running trials, by their rows: all or none."""
        claim = self._claimed_by_name(study)

        def write(again: bool) -> None:
            with self._writing() as session:
                claim.heart.beat(session)
                steps.write_epochs(session, curves)

        self.patience(write)

    def finish_trial(
        self,
        row: int,
        state: str,
        result: TrialResult,
        epochs: Sequence[Mapping[str, object]] = (),
    ) -> int:
        """Ends a running trial, in our tables and Optuna's in one transaction. Returns its number.

        Points of the learning curve that were recorded before stay; those in `epochs` are added or replace them.
        """

        def end(session: Session, claim: _Claim) -> tuple[int, bool]:
            steps.write_epochs(session, {row: epochs})
            return steps.finish(session, claim.study, claim.known, row, state, result)

        return self._finish(row, end)

    def pause_trial(self, row: int, result: TrialResult, epochs: Sequence[Mapping[str, object]] = ()) -> None:
        """A running trial stops where it is, and may go on from its checkpoint; `epochs` as in `finish_trial`."""

        def write(again: bool) -> None:
            with self._writing() as session:
                self._claim_of(session, row).heart.beat(session)
                steps.write_epochs(session, {row: epochs})
                steps.pause(session, row, result)

        self.patience(write)

    def resume_trial(self, row: int) -> None:
        """A paused trial goes on."""

        def write(again: bool) -> None:
            with self._writing() as session:
                self._claim_of(session, row).heart.beat(session)
                steps.resume(session, row)

        self.patience(write)

    def checkpoint_folder(self, study: str, base: Path) -> Path:
        """The folder in `base` of the checkpoints of a study, which is remembered: it goes when the study is deleted."""
        identity = self._row(study).id

        def write(again: bool) -> Path:
            with self._writing() as session:
                checkpoint_folders.record(session, identity, base)
                return checkpoint_folders.of_study(base, session.get_one(Study, identity))

        return self.patience(write)

    def take_over(self, row: int, past: PastResult) -> int:
        """Ends a running trial that need not run, with the result of another one. Returns its number."""
        return self._finish(row, lambda session, claim: steps.take_over(session, claim.study, claim.known, row, past))

    def find_result(self, study: str, digest: str, states: Sequence[str] = (COMPLETE,)) -> PastResult | None:
        """As `Reader.find_result`, waiting for the database."""
        return self.patience(lambda again: super(Store, self).find_result(study, digest, states))

    def curve(self, row: int) -> list[tuple[int, dict[str, float | None]]]:
        """As `Reader.curve`, waiting for the database."""
        return self.patience(lambda again: super(Store, self).curve(row))

    def readings(self, digest: str, name: str) -> list[Reading]:
        """As `Reader.readings`, waiting for the database."""
        return self.patience(lambda again: super(Store, self).readings(digest, name))

    def _finish(self, row: int, end: Callable[[Session, _Claim], tuple[int, bool]]) -> int:
        def write(again: bool) -> tuple[_Claim, int, bool]:
            with self._writing() as session:
                claim = self._claim_of(session, row)
                claim.heart.beat(session)
                done = steps.number_of(session, row) if again else None
                return claim, *((done, True) if done is not None else end(session, claim))

        claim, number, projected = self.patience(write)
        if not projected:  # someone deleted the study in Optuna Dashboard
            self.patience(lambda again: self._project_all(claim))
        return number

    def rename_study(self, name: str, new: str) -> None:
        """Gives a study another name, here and for Optuna. Raises StorageError when it runs, or the name cannot be."""
        if problem := problem_of_name(new):
            raise StorageError(f"study {shorten(new)}: {problem}")
        if self.has_study(new):
            raise StudyExists(f"storage '{self.shown_url}': there is a study '{new}' already")
        with self.claim(name), self._writing() as session:
            if optuna_projection.study_id(session, new) is not None:
                raise StorageError(f"storage '{self.shown_url}': Optuna has a study '{new}' here; name another")
            session.execute(update(Study).where(Study.name == name).values(name=new))
            optuna_projection.rename_study(session, name, new)

    def delete_study(self, name: str) -> int:
        """Removes a study with its trials, here and for Optuna. Returns how many trials it had.

        Networks, and what they were measured to be worth on a test set, stay: other studies may have met them. A trial of
        another study that took over a result keeps that too. Raises StorageError when the study runs.
        """
        study = self.study(name)
        with self.claim(name):
            # Optuna's copy first: killed between the two, the next search writes it anew.
            optuna_projection.delete_study(self.optuna_storage(), name)
            with self._writing() as session:
                trials, folders = deletion.delete_study(session, study.id)
        for folder in folders:
            with suppress(OSError):  # it may lie on another machine
                checkpoint_folders.sweep(folder)
        return trials

    def add_measurement(self, measured: Measured) -> None:
        """Records a replay or a retraining; it needs no claim. Of two rows with the same key and seed the last counts."""

        def write(again: bool) -> None:
            with self._writing() as session:
                measurements.record(session, measured)

        self.patience(write)

    def add_reading(self, reading: Reading) -> None:
        """Records what was measured of a network; it needs no claim. Of two rows of a trial the last counts."""

        def write(again: bool) -> None:
            with self._writing() as session:
                readings.record(session, reading)

        self.patience(write)

    def add_memory(self, memory: Memory) -> None:
        """Records what a trial took of a GPU's memory; it needs no claim."""

        def write(again: bool) -> None:
            with self._writing() as session:
                gpu_memory.record(session, memory)

        self.patience(write)

    def _check_file(self) -> None:
        """Raises StorageError when the file of the database was deleted or replaced meanwhile."""
        if self._lifeline is not None:
            self._lifeline.check()

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """One transaction that writes to the file that was opened."""
        self._check_file()
        with writing(self._engine) as session:
            yield session

    def _row(self, study: str) -> StudyRow:
        for claim in self._claims.values():
            if claim.study.name == study:
                return claim.study
        return self.study(study)

    def _claimed_by_name(self, study: str) -> _Claim:
        return self._claimed(self._row(study).id, study)

    def _claimed(self, study_id: int, name: str) -> _Claim:
        if study_id not in self._claims:
            raise StorageError(f"study '{name}': only the process that has claimed it may write trials")
        return self._claims[study_id]

    def _claim_of(self, session: Session, row: int) -> _Claim:
        for claim in self._claims.values():
            if row in claim.rows:
                return claim
        study_id = session.scalar(select(Trial.study_id).where(Trial.id == row))
        if study_id is None:
            raise ValueError(f"there is no trial in row {row}")
        return self._claimed(study_id, f"number {study_id}")

    @contextmanager
    def _one_of_two(self, exists: str) -> Iterator[None]:
        """Raises StudyExists when another process made the same study between our look and our write (PostgreSQL)."""
        try:
            yield
        except StorageError as problem:
            if isinstance(problem.__cause__, IntegrityError):
                raise StudyExists(exists) from problem
            raise

    def _leave(self, claim: _Claim) -> None:
        with self._writing() as session:
            if not claim.heart.leave(session):
                return
            if steps.leave_running(session, claim.study, "the driver ended", claim.resumable):
                self._project(session, claim.study)

    def _project_all(self, claim: _Claim) -> int:
        """Makes Optuna's study where it is gone, and gives it what it lacks. Returns how many trials."""
        with connection.explained(self.url):
            optuna_projection.create_study(self.optuna_storage(), claim.study.name, claim.study.objectives)
        with self._writing() as session:
            claim.heart.beat(session)
            return self._project(session, claim.study)

    def _project(self, session: Session, study: StudyRow) -> int:
        optuna_study = optuna_projection.study_id(session, study.name)
        return 0 if optuna_study is None else steps.project_missing(session, study, optuna_study)
