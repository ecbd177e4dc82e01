"""DbosEngine: DBOS as the engine of durable runs.

The library has one instance a process, so a process serves one configuration of it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from licet.db.steps_database import Lasting, StepsDatabase
from licet.errors import ConfigurationError, StorageError, StorageUnavailableError
from licet.runs.cron import Fire
from licet.runs.dbos_cron import FIRING, DbosCron, firing_workflow
from licet.runs.dbos_process import PROCESS
from licet.runs.engine import Batch, Step, Work, WorkflowState, unread

if TYPE_CHECKING:
    from dbos import DBOS, StepReservation, WorkflowStatus

logger = logging.getLogger(__name__)

T = TypeVar("T")

VERSION = "licet-1"
"""What a stored step means. With another one, workflows of this one are never taken on."""

_APPLICATION = "licet"
_EVENTS = "events"
_WORKFLOW = "licet_run"
_NAMES = [_WORKFLOW, FIRING]
_STEP_NAME = "step"
# How often a run is tried that takes its process down each time.
_MAX_RECOVERIES = 10
# Where the database cannot say that something changed.
_POLL_SECONDS = 0.1
_FORGET_AT_ONCE = 500
_CANCEL_SECONDS = 5.0
# How soon a process hears of entries of the clock that another one has changed.
_CRON_LOOK_SECONDS = 2.0
_LOG_LEVEL = "WARNING"
_ACTIVE = frozenset(("PENDING", "ENQUEUED", "DELAYED"))
_ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


class DbosEngine:
    """DBOS as the engine.

    Args:
        db: the database beside whose tables it keeps its own.
        executor_id: names this process; no two have one.
    """

    def __init__(self, db: Lasting, *, executor_id: str) -> None:
        self._db = db
        self._executor_id = executor_id
        self._database: StepsDatabase | None = None
        self._library: DBOS | None = None
        self.work: Work | None = None
        self.cron = DbosCron()

    @property
    def db_id(self) -> str:
        """The database beside which it keeps all."""
        return self._db.id

    @property
    def fire(self) -> Fire | None:
        """What is done for what is due; None: it closes, or serves no schedules."""
        return None if self.work is None else self.cron.fire

    async def launch(self, work: Work) -> None:
        """Begin. Runs on the loop of the caller."""
        with PROCESS.lock:
            if PROCESS.holder is not None:
                raise ConfigurationError(
                    "durable runs: another AgentOS of this process has them already, and the "
                    "engine knows one configuration a process; serve the second one by another"
                )
            PROCESS.holder = self
        try:
            database = await self._db.steps_database()
            self.work, self._database = work, database
            # Importing it takes half a second.
            await _whole(lambda: self._prepare(database))
            # What it starts shall run on this loop; but itself it waits for its database.
            self._library._background_event_loop.set_main_loop()  # type: ignore[union-attr] # noqa: SLF001 - it is prepared
            await _whole(_launch)
        except BaseException:
            await self._end()
            raise

    def _prepare(self, database: StepsDatabase) -> None:
        self._library = _prepare(database, self._executor_id)

    async def close(self) -> None:
        """End. What works is cancelled, and is gone on with by whoever recovers it."""
        if PROCESS.holder is self:
            await self._end()

    def _is_open(self) -> bool:
        """Whether the library is this one's, and is not being ended."""
        return PROCESS.holder is self and self.work is not None

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        # First of all: who reads meanwhile asks the library no more.
        self.work = None
        try:
            if self._library is not None:
                await _cancelled(self._library._workflow_tasks)  # noqa: SLF001 - nobody else does
                # It gave its own threads to the loop, and takes them away again when it ends.
                loop.set_default_executor(ThreadPoolExecutor())
                await _whole(self._library.destroy)
                loop.set_default_executor(ThreadPoolExecutor())
        finally:
            if self._database is not None:
                self._database.engine.dispose()
            self._database = self._library = None
            with PROCESS.lock:
                PROCESS.holder = None

    async def start(self, work_id: str, db_id: str) -> bool:
        """Let the work of a run begin in this process. False: what had begun is gone on with."""
        from dbos import DBOS, SetWorkflowID
        from dbos._core import WorkflowHandleAsyncTask

        while True:
            with SetWorkflowID(work_id):
                handle = await DBOS.start_workflow_async(_workflow(), work_id, db_id)
            if isinstance(handle, WorkflowHandleAsyncTask):
                return True
            # A process that was slow to hear that it was given up had begun it all the same.
            state = await self.state(work_id)
            if state is WorkflowState.ACTIVE:
                await DBOS.resume_workflow_async(work_id)
                return False
            if state is WorkflowState.ENDED:
                await self.forget([work_id])

    def step(self) -> Step:
        """The next step of the run."""
        from dbos import DBOS

        return _ReservedStep(DBOS.reserve_step())

    async def store_events(self, batch: Batch) -> None:
        """Store events, and wake who reads them."""
        from dbos import DBOS

        await DBOS.write_stream_async(_EVENTS, msgspec.json.encode(batch).decode())

    async def close_events(self) -> None:
        """No event follows."""
        from dbos import DBOS

        await DBOS.close_stream_async(_EVENTS)

    async def events(
        self, work_id: str, *, idle_seconds: float | None
    ) -> AsyncGenerator[Batch | None, None]:
        """All events of a run in order, up to the end; None where none came for so long."""
        from dbos import DBOS, error

        offset = next_index = 0
        while self._is_open():
            values = DBOS.read_stream_async(
                work_id,
                _EVENTS,
                offset=offset,
                polling_interval_sec=_POLL_SECONDS if idle_seconds is not None else None,
                timeout_seconds=0.0 if idle_seconds is None else idle_seconds,
            )
            try:
                async for value in values:
                    offset += 1
                    batch = unread(_batch(value), next_index)
                    if batch.frames:
                        next_index = batch.first_index + len(batch.frames)
                        yield batch
            except error.DBOSStreamTimeoutError:
                if idle_seconds is None:
                    return
                yield None
            except error.DBOSNonExistentWorkflowError:
                return
            except Exception:
                if self._is_open():
                    raise
                # It went away under whoever was reading; the run's row says how it ends.
                return
            else:
                return

    async def state(self, work_id: str) -> WorkflowState:
        """What is known of a run."""
        from dbos import DBOS

        found = await DBOS.list_workflows_async(
            workflow_ids=[work_id], load_input=False, load_output=False
        )
        return _state(found[0]) if found else WorkflowState.UNKNOWN

    async def recover(self, work_id: str, *, living: Collection[str]) -> WorkflowState:
        """Have a run started again, by whichever process, unless one of the living has it."""
        from dbos import DBOS
        from dbos._dbos import _get_dbos_instance
        from dbos._utils import INTERNAL_QUEUE_NAME

        found = await DBOS.list_workflows_async(
            workflow_ids=[work_id], load_input=False, load_output=False
        )
        if not found:
            return WorkflowState.UNKNOWN
        holder = found[0].executor_id
        if found[0].status == "PENDING" and holder is not None and holder not in living:
            # As the library does at a start for the executor of its own name: it does so only if
            # that one has it still.
            tables = _get_dbos_instance()._sys_db  # noqa: SLF001 - as said
            await asyncio.to_thread(
                tables.reenqueue_for_recovery, work_id, [holder], INTERNAL_QUEUE_NAME
            )
        return _state(found[0])

    async def abandoned(self, *, living: Collection[str]) -> Sequence[str]:
        """Work that is done in none of the living processes, and waits for none to begin."""
        from dbos import DBOS

        found = await DBOS.list_workflows_async(
            status="PENDING", name=_NAMES, load_input=False, load_output=False
        )
        return [workflow.workflow_id for workflow in found if workflow.executor_id not in living]

    async def forget(self, work_ids: Sequence[str]) -> None:
        """Delete what is stored of work that has ended."""
        from dbos import DBOS

        await DBOS.delete_workflows_async(list(work_ids))

    async def ended_before(self, epoch_seconds: float) -> Sequence[str]:
        """Work that ended before, some of it at least, for as long as there is any."""
        from dbos import DBOS

        found = await DBOS.list_workflows_async(
            status=list(_ENDED),
            completed_before=datetime.fromtimestamp(epoch_seconds, UTC).isoformat(),
            name=_NAMES,
            limit=_FORGET_AT_ONCE,
            load_input=False,
            load_output=False,
        )
        return [workflow.workflow_id for workflow in found]


class _ReservedStep:
    def __init__(self, reservation: StepReservation) -> None:
        self._reservation = reservation

    async def __call__(self, do: Callable[[], Coroutine[Any, Any, str]]) -> str:
        async def on_this_loop() -> str:
            # What is no coroutine function itself would be called in a thread.
            return await do()

        return await self._reservation.run_async({"name": _STEP_NAME}, on_this_loop)


@functools.cache
def _workflow() -> Callable[[str, str], Coroutine[Any, Any, str]]:
    """The one workflow there is, registered with the library when it is first needed."""
    from dbos import DBOS

    @DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=_MAX_RECOVERIES)
    async def licet_run(work_id: str, db_id: str) -> str:
        holder = PROCESS.holder
        if holder is None or holder.work is None:
            # The process is closing: another one goes on.
            raise asyncio.CancelledError
        await holder.work(work_id, db_id)
        return "ended"

    return licet_run


async def _whole(work: Callable[[], object]) -> None:
    """Do something in a thread, to its end.

    Who is cancelled waits for it all the same: nothing would know of a library that comes, or goes,
    after that.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what is left of the work, and wait a moment for it."""
    left = list(tasks)
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=_CANCEL_SECONDS))[1]:
        logger.error("runs do not end when they are cancelled; they are left behind")


def _state(workflow: WorkflowStatus) -> WorkflowState:
    return WorkflowState.ACTIVE if workflow.status in _ACTIVE else WorkflowState.ENDED


def _batch(value: Any) -> Batch:
    try:
        return msgspec.json.decode(value, type=Batch)
    except (msgspec.MsgspecError, TypeError) as error:
        raise StorageError(f"what is stored as events of a run cannot be read: {error}") from error


def _prepare(database: StepsDatabase, executor_id: str) -> DBOS:
    """Set the library up."""
    from dbos import DBOS, DBOSConfig, _dbos, _serialization

    from licet.runs.dbos_values import JsonSerializer, NothingPickled

    if _dbos._dbos_global_instance is not None:  # noqa: SLF001 - a second one would be the first
        raise ConfigurationError(
            "durable runs: this program uses DBOS itself, which knows one configuration a process"
        )
    # Whoever could write the table could have code run. Nothing of ours is pickled.
    _serialization.DBOSDefaultSerializer = NothingPickled()
    library = logging.getLogger("dbos")
    library.setLevel(_LOG_LEVEL)
    if not library.handlers:
        # Else it writes to the console by itself.
        library.addHandler(logging.NullHandler())
    _workflow()
    firing_workflow()
    config: DBOSConfig = {
        "name": _APPLICATION,
        # It looks at the kind of database only: the connections are ours.
        "system_database_url": f"{database.engine.url.drivername}://licet:@/licet",
        "system_database_engine": database.engine,
        "executor_id": executor_id,
        "application_version": VERSION,
        "serializer": JsonSerializer(),
        "log_level": _LOG_LEVEL,
        "use_listen_notify": database.tells,
        "notification_listener_polling_interval_sec": _POLL_SECONDS,
        "scheduler_polling_interval_sec": _CRON_LOOK_SECONDS,
    }
    if database.schema:
        config["dbos_system_schema"] = database.schema
    try:
        return DBOS(config=config)
    except BaseException:
        DBOS.destroy()
        raise


def _launch() -> None:
    """Bring its tables up to date, and begin."""
    from dbos import DBOS
    from sqlalchemy.exc import SQLAlchemyError

    try:
        DBOS.launch()
    except SQLAlchemyError as error:
        raise StorageUnavailableError(
            f"the engine of durable runs cannot begin: {error}"
        ) from error
