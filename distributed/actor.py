"""The Ray actor: a thin shell around ``extraction``, one per process, that returns outcomes as data."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import ray

from distributed.errors import FilterShiftError, RetryableError, UnextractableError
from distributed.outcomes import Outcome, OutcomeKind
from distributed.references import ModelReference
from distributed.settings import ExtractSettings
from distributed.store import Store
from distributed.store.settings import StoreSettings

logger = logging.getLogger(__name__)


class ExtractionActor:
    """Opens one checkpoint after another and writes its filters into the store.

    Args:
        store: where to write.
        extract: how to read.
        num_threads: threads torch may use, the CPUs Ray reserved for this actor.
        environment: variables to set. ``huggingface_hub`` reads them when it is imported, which is after this.
    """

    def __init__(
        self, store: StoreSettings, extract: ExtractSettings, num_threads: int, environment: Mapping[str, str]
    ) -> None:
        os.environ.update(environment)
        import torch

        torch.set_num_threads(max(1, num_threads))
        self._store = Store.open(store)
        self._settings = extract
        self._device = torch.device("cuda" if ray.get_gpu_ids() else "cpu")

    def extract(self, reference: ModelReference) -> Outcome:
        """What became of ``reference``. Errors come back as outcomes: one model's failure stops nothing else."""
        from distributed.extraction import extract_model

        with tempfile.TemporaryDirectory(prefix="filter-shift-") as scratch:
            return outcome_of(
                reference,
                lambda: extract_model(reference, self._store, self._settings, self._device, Path(scratch)),
            )


def outcome_of(reference: ModelReference, work: Callable[[], Outcome]) -> Outcome:
    """``work()``, with every error turned into the outcome its type stands for."""
    try:
        return work()
    except UnextractableError as error:
        return Outcome(reference, OutcomeKind.SKIPPED, reason=str(error.reason), message=str(error), place=error.place)
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


def _describe(error: Exception) -> str:
    """The error in one line, with the place in our code it came from, so that it can be reported."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    lines = str(error).strip().splitlines()
    return f"unexpected {type(error).__name__}: {lines[0] if lines else ''}{place}"
