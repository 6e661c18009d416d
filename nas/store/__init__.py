"""The study database: SQLAlchemy tables beside Optuna's, written by one driver, read back as pandas frames."""

from nas.store.connection import DEFAULT_URL
from nas.store.gpu_memory import Memory
from nas.store.measurements import Measured
from nas.store.readings import Reading
from nas.store.records import PastResult, Reconciled, StudyRow, TrialResult, TrialRow
from nas.store.recounting import Recounted
from nas.store.retry import Patience
from nas.store.store import Store

__all__ = [
    "DEFAULT_URL",
    "Measured",
    "Memory",
    "PastResult",
    "Patience",
    "Reading",
    "Reconciled",
    "Recounted",
    "Store",
    "StudyRow",
    "TrialResult",
    "TrialRow",
]
