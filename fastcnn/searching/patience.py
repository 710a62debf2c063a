"""A database on a server that may go away for a while: whoever asks it waits until it is back."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

from optuna.exceptions import OptunaError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import (
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

Value = TypeVar("Value")

_PAUSE = 0.5  # seconds from one try to the next
_UNTOLD = 1.0  # seconds of absence that nobody need hear of


class AwayError(OSError):
    """The server was away when somebody who waited for it was told to stop."""


def told_by(error: BaseException) -> BaseException:
    """What the database itself said, below what Optuna and SQLAlchemy made of it."""
    cause: BaseException = error
    if isinstance(cause, OptunaError):
        cause = cause.__cause__ or cause
    return getattr(cause, "orig", None) or cause.__cause__ or cause


def _reason(error: BaseException) -> str:
    return (str(told_by(error)).splitlines() or [type(error).__name__])[0]


@dataclasses.dataclass
class Patience:
    """How somebody waits for a server.

    Attributes
    ----------
    should_stop : function
        Whether to wait no longer.
    tell : function
        Takes a line: that the server is away, that it is back.
    """

    should_stop: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda line: None

    def through(self, call: Callable[[], Value], refresh: Callable[[], None]) -> tuple[Value, bool]:
        """What a call returns once the server answers it, and whether it was repeated for that.

        Parameters
        ----------
        call : function
            What is asked of the server.
        refresh : function
            Drops connections that are broken; called after each failure.

        Raises
        ------
        AwayError
            If `should_stop` came first.
        """
        since, is_told, tries = time.monotonic(), False, 0
        while True:
            try:
                value = call()
                break
            except (StorageInternalError, SQLAlchemyError) as error:
                if not _is_away(error):
                    raise
                refresh()
                if self.should_stop():
                    raise AwayError(f"the database is away: {_reason(error)}") from None
                if not is_told and time.monotonic() - since > _UNTOLD:
                    is_told = True
                    self.tell(f"the database is away ({_reason(error)}): waiting until it is back")
            if tries:  # at once the first time: an old connection may be all that is broken
                time.sleep(_PAUSE)
            tries += 1
        if is_told:
            self.tell(f"the database is back after {time.monotonic() - since:.0f} s")
        return value, bool(tries)


def _is_away(error: BaseException) -> bool:
    """Whether the server could not be asked, in contrast to: did not like what it was asked."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError))


class PatientStorage(RDBStorage):
    """Optuna's storage, each of whose calls waits until the server answers.

    A call whose answer was lost is repeated though it may have been carried out. Twice is then
    like once: what is set is set again, an attempt that was added twice counts once (see
    `slots`), and a trial that was marked as ours and is not known to be goes to the next that is
    free.
    """

    def __init__(self, url: str, engine_kwargs: dict[str, Any], patience: Patience) -> None:
        self._patience = patience
        super().__init__(url, engine_kwargs)

    def patiently(self, call: Callable[[], Value]) -> tuple[Value, bool]:
        """See `Patience.through`."""
        return self._patience.through(call, self._refresh)

    def _refresh(self) -> None:
        with contextlib.suppress(SQLAlchemyError):  # what is broken cannot be closed in order
            self.scoped_session.remove()
        self.engine.dispose()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """As Optuna's; a verdict that arrived though its answer was lost is no other's."""
        tell = functools.partial(super().set_trial_state_values, trial_id, state, values)
        tries = 0

        def told() -> bool:
            nonlocal tries
            tries += 1
            try:
                return tell()
            except UpdateFinishedTrialError:
                if tries > 1 and self.get_trial(trial_id).state == state:
                    return True
                raise

        return self.patiently(told)[0]


def _patient(plain: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(plain)
    def method(self: PatientStorage, *arguments: Any, **options: Any) -> Any:
        return self.patiently(lambda: plain(self, *arguments, **options))[0]

    return method


# Those that open a session, and so can be repeated as a whole.
for _name, _plain in vars(RDBStorage).items():
    _names = getattr(getattr(_plain, "__code__", None), "co_names", ())
    if "_create_scoped_session" in _names and _name not in vars(PatientStorage):
        setattr(PatientStorage, _name, _patient(_plain))
