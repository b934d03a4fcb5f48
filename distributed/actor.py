"""What runs as a Ray actor: a thin shell around ``extraction``, one per process, that returns outcomes as data."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from distributed import lean_imports, logs
from distributed.environment import take_over
from distributed.errors import FilterShiftError, RetryableError, UnextractableError, UnusableStoreError, in_one_line
from distributed.hub import budget as hub_budget
from distributed.hub.settings import HubAccess
from distributed.hub.shared_budget import SharedBudget
from distributed.outcomes import MEMORY_ADVICE, FailureReason, NotReady, Outcome, OutcomeKind
from distributed.references import ModelReference
from distributed.scratch import scratch
from distributed.settings import ExtractSettings
from distributed.sources.naming import some
from distributed.store import Store
from distributed.store.settings import StoreSettings

logger = logging.getLogger(__name__)

#: Where nothing can be put: for models that are read where they lie.
_NOWHERE = Path(os.devnull)


class ExtractionActor:
    """Opens one checkpoint after another and writes its filters into the store.

    Its life: ``start`` once, which finds out whether this node can do the work at all, then ``extract`` for each model.
    ``ExtractionProcess`` is where it lives.

    Args:
        store: where to write.
        extract: how to read.
        num_threads: threads torch may use, the CPUs Ray reserved for this actor.
        device: ``cpu`` or ``cuda``, where Ray reserved a GPU: statistics run there.
        environment: variables to set. ``huggingface_hub`` reads them when it is imported, which is after this.
        hub: how the Hub is asked.
        budget: handle of the actor that keeps the cluster's budget of requests (``shared_budget``); None: this process
            keeps one of its own.
        log: how lines of this process's log are written.
    """

    def __init__(
        self,
        store: StoreSettings,
        extract: ExtractSettings,
        num_threads: int,
        device: str,
        environment: Mapping[str, str],
        hub: HubAccess = HubAccess(),
        budget: Any = None,
        log: logs.LogStyle = logs.LogStyle.text,
    ) -> None:
        take_over(environment)
        logs.begin(log)
        hub_budget.use(None if budget is None else SharedBudget(budget), hub)
        lean_imports.begin()
        self._store_settings, self._settings, self._hub = store, extract, hub
        self._num_threads, self._device_name = num_threads, device

    def start(self, is_first: bool = True) -> NotReady | None:
        """Make ready; what keeps this node from the work, or None.

        What would fail for every model alike (an import, the device, the store out of reach, no room for downloads)
        shows here, before any model is tried.

        Args:
            is_first: on its node: it tries the store for those that follow.
        """
        try:
            import torch

            from distributed import extraction, statistics

            torch.set_num_threads(max(1, self._num_threads))
            self._device = torch.device(self._device_name)
            statistics.layer_statistics(torch.ones(1, 1, 3, 3, device=self._device))
            self._extract_model = extraction.extract_model
            self._store = Store.open(self._store_settings)
            if is_first:
                self._store.probe_writing()
            with scratch():
                return None
        except FilterShiftError as error:
            return NotReady(str(error), isinstance(error, RetryableError))
        except Exception as error:
            logger.exception("this actor cannot start")
            return NotReady(_describe(error))

    def extract(self, reference: ModelReference, attempt: int = 1) -> Outcome:
        """What became of ``reference``. Errors come back as outcomes: one model's failure stops nothing else."""
        with logs.about(reference.name, attempt):
            return outcome_of(reference, lambda: self._extract(reference))

    def _extract(self, reference: ModelReference) -> Outcome:
        is_fetched = reference.revision is not None
        with scratch() if is_fetched else nullcontext(_NOWHERE) as folder:
            return self._extract_model(reference, self._store, self._settings, self._device, folder, self._hub)


def outcome_of(reference: ModelReference, work: Callable[[], Outcome]) -> Outcome:
    """``work()``, with every error turned into the outcome its type stands for.

    Raises:
        UnusableStoreError: no fact about this model: it ends the run.
    """
    try:
        return work()
    except UnextractableError as error:
        message = f"{error}{_not_tried(reference)}"
        return Outcome(reference, OutcomeKind.SKIPPED, reason=str(error.reason), message=message, place=error.place)
    except UnusableStoreError:
        raise
    except MemoryError as error:
        message = f"memory was not enough for this model ({error or 'no more is given'}): {MEMORY_ADVICE}"
        reason = str(FailureReason.OUT_OF_MEMORY)
        return Outcome(reference, OutcomeKind.FAILED, reason=reason, message=in_one_line(message), retryable=True)
    except FilterShiftError as error:
        return Outcome(
            reference,
            OutcomeKind.FAILED,
            reason=type(error).__name__,
            message=str(error),
            retryable=isinstance(error, RetryableError),
        )
    except Exception as error:
        logger.exception("unexpected error in %s", reference.name)
        return Outcome(
            reference, OutcomeKind.FAILED, reason=type(error).__name__, message=_describe(error), retryable=False
        )


def _not_tried(reference: ModelReference) -> str:
    """Other files of the same model, which may be sound where the chosen one is not."""
    if not reference.left_out:
        return ""
    name = "source.files=[…]" if reference.revision is not None else "source.path=…"
    return f"; not read: {some(reference.left_out)} ({name} names one)"


def _describe(error: Exception) -> str:
    """The error in one line, with the place in our code it came from, so that it can be reported."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    lines = str(error).strip().splitlines()
    return f"unexpected {type(error).__name__}: {lines[0] if lines else ''}{place}"
