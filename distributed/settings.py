"""The settings of an extraction run: frozen, typed, made once at the entry point, passed everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from distributed.hub.settings import HubAccess
from distributed.logs import LogStyle
from distributed.name_patterns import NamePatterns, Patterns, several
from distributed.setting import check_bounds, setting
from distributed.sources.settings import SourceSettings
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which Ray to use and how large the pool of actors is.

    Attributes:
        address: ``local`` starts a Ray of its own on this machine; ``auto`` joins the running one (also inside a
            submitted job); ``host:port`` or ``ray://host:port`` joins that one.
        local_cpus: CPUs the own local Ray, or the threads in its place, may use; None: all of the machine. Ignored when
            joining.
        local_ray_from: with ``address`` local, an analysis that reads fewer filters than this starts no Ray: threads
            of its own process are done before Ray would be up. 0: always Ray. Extraction always uses Ray.
        object_store_memory: bytes of the own local Ray's object store. Small: no raw filter passes through it.
        actors: number of extraction actors, which is also the demand that an autoscaler sees; None: as many as the
            nodes have room for, looked at again as they come and go, at most one a model.
        num_cpus: CPUs per actor.
        num_gpus: GPUs per actor; fractions share one GPU between actors. Statistics run on it.
        memory: bytes of memory Ray reserves per actor for scheduling; None: none.
        wait: seconds that an extraction waits for room when it has no actor at all.
    """

    address: str = "local"
    local_cpus: int | None = None
    local_ray_from: int = 1 << 28
    object_store_memory: int = 512 * 1024**2
    actors: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory: int | None = None
    wait: float = setting(600.0, "seconds that a run without an actor waits for room for one; 0: not at all", (0, 1e9))

    def __post_init__(self) -> None:
        """Raises UserError where a number makes no sense."""
        check_bounds(self, "cluster.")


class Retry(StrEnum):
    """Which models with a recorded outcome are tried again. Done models never are.

    Members are lower case because OmegaConf matches overrides (``extract.retry=failed``) by member name.
    """

    none = "none"
    failed = "failed"
    skipped = "skipped"
    all = "all"


class NonFinite(StrEnum):
    """What becomes of a model with a layer that holds NaN or infinity."""

    refuse = "refuse"
    leave_out = "leave_out"


class PlanDetail(StrEnum):
    """What a dry run looks at: only the listing, or the headers of what would be read as well."""

    quick = "quick"
    exact = "exact"


class ProgressStyle(StrEnum):
    """How progress is shown; ``auto`` is a live bar on a terminal and plain lines elsewhere."""

    auto = "auto"
    bar = "bar"
    plain = "plain"
    off = "off"


@dataclass(frozen=True, slots=True)
class ExtractSettings:
    """How a run behaves."""

    dry_run: bool = setting(False, "print the plan, read no weights, write nothing")
    plan: PlanDetail = setting(
        PlanDetail.quick, "quick | exact: of a dry run; exact reads headers, and shows the bytes of the 3x3 weights"
    )
    # Failures that may pass by themselves (network, a lost node) always are tried again: nothing about them is settled.
    retry: Retry = setting(Retry.none, "none | failed | skipped | all: which recorded outcomes are tried again")
    max_attempts: int = setting(3, "tries per model in one run", (1, 1000))
    max_failures: int = setting(0, "the exit code stays 0 up to this many failed models", (0, 10**9))
    max_bytes_in_flight: int = setting(
        4 * 1024**3,
        "held in memory by all actors together (of files read in ranges some batches); a model of more goes alone",
        (1, 2**60),
    )
    prefer_ema: bool = setting(False, "take the EMA copy of a checkpoint that holds both")
    include_transposed: bool = setting(False, "transposed convolutions as well")
    quantised: bool = setting(False, "convolutions of integers as well, as the floats that these stand for")
    fold_bn: bool = setting(
        False, "batch norm folded into the convolution before it, as exports in eval mode (the published data) have it"
    )
    include: Patterns = setting(
        (), "pattern or [patterns] of parameters that stay, though they look like a copy, an adapter, a loss, a teacher"
    )
    exclude: Patterns = setting((), "pattern or [patterns] of parameters that are left out: discriminator.*")
    non_finite: NonFinite = setting(
        NonFinite.refuse, "refuse | leave_out: a model with NaN or infinite weights, or only those layers of it"
    )
    update_labels: bool = setting(
        False, "corrected labels (manifest, config.json) into the rows of models that are there; weights stay"
    )
    trace: bool = setting(True, "exact depth of known architectures; false: order of the checkpoint")
    progress: ProgressStyle = setting(ProgressStyle.auto, "auto | bar | plain | off")

    def __post_init__(self) -> None:
        """Raises UserError where a number makes no sense."""
        check_bounds(self, "extract.")

    @property
    def variant(self) -> str:
        """What is taken of a checkpoint beside the default: ``""``, ``ema+transposed``, ``exclude=head.*`` …."""
        flags = {
            "ema": self.prefer_ema,
            "transposed": self.include_transposed,
            "quantised": self.quantised,
            "folded": self.fold_bn,
        }
        taken = [what for what, is_taken in flags.items() if is_taken]
        taken += [f"include={pattern}" for pattern in self.patterns.include]
        taken += [f"exclude={pattern}" for pattern in self.patterns.exclude]
        return "+".join(taken)

    @property
    def patterns(self) -> NamePatterns:
        """What is asked for by name."""
        return NamePatterns(several(self.include), several(self.exclude))


@dataclass(frozen=True, slots=True)
class ExtractionRun:
    """Everything ``launch/extract.py`` needs."""

    source: SourceSettings
    store: StoreSettings
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    extract: ExtractSettings = field(default_factory=ExtractSettings)
    hub: HubAccess = field(default_factory=HubAccess)
    log: LogStyle = setting(
        LogStyle.text, "text | json: lines on standard error, here and on the nodes; json has a line a model"
    )
    labels: str | None = setting(
        None, "CSV, Parquet or YAML, local or s3://: labels by model_id, name, uri or file, in place of what is found"
    )

    @property
    def asks_hub(self) -> bool:
        """Whether its models are on the Hub."""
        return self.source.kind in ("hub", "timm")
