"""The settings of ``python -m analysis.pairs``."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.settings import (
    ComponentWeight,
    HistogramSettings,
    LayerWeight,
    Shared,
    Unit,
    ViewSettings,
    Weight,
)
from distributed.errors import UserError
from distributed.name_patterns import Patterns, several
from distributed.setting import check_bounds, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsSettings(HistogramSettings, ViewSettings):
    """Everything ``python -m analysis.pairs`` needs: which models are compared with which, and how."""

    out: str = setting("pairs", "folder of the results; files of an earlier run in it are replaced")
    pairs: str | None = setting(
        None,
        "CSV, Parquet or YAML of two columns, side a and side b, named as the sides are: a pair of models a row, by "
        "model_id, name, uri or file; further columns label the pair",
    )
    match: tuple[str, ...] = setting((), "columns in which paired models agree: [architecture,training_dataset]")
    contrast: str | None = setting(None, "the column in which they differ: recipe")
    values: tuple[str, ...] = setting(
        (), "its values on side a and side b: [a1,tv]; []: the two there are. All models that match are paired"
    )
    by: str | None = setting(
        "depth", "depth (first layer, deciles of the others) or a column of layers; null: all layers only"
    )
    shared: Shared = setting(Shared.each, "each | once: a model in several pairs counts once a pair, or once")
    unit: Unit = setting(Unit.model, "model | lineage: pairs that share one swap sides together")
    flips: int = setting(
        10_000,
        "swaps of sides that p-values rest on, drawn at random; all, where half of all are no more",
        (1, 100_000),
    )
    seed: int = setting(0, "of the swaps", (0, 2**63 - 1))
    divergence: str = setting("kl", "kl (symmetric, the paper's) | js | wasserstein | tv")
    weight: Weight = setting(Weight.filters, "what counts the same in drifts: filters (the paper) | layers | models")
    components: ComponentWeight = setting(
        ComponentWeight.evr, "evr (the paper) | equal: what each of the nine components counts in a drift"
    )
    layer_weight: LayerWeight = setting(
        LayerWeight.measured,
        "in means of quality: measured (what each is of: clean filters, output channels …) | layers | filters | models",
    )
    max_pairs: int = setting(10_000, "more pairs that match are refused", (1, 1_000_000))
    max_groups: int = setting(100, "more groups by 'by' are refused", (1, 10_000))
    dry_run: bool = setting(False, "print the pairs, measure and write nothing")
    timm: Patterns = setting(
        (), "of a dry run: names or patterns of timm's pretrained tags in place of a store: resnet50*"
    )

    def __post_init__(self) -> None:
        """Raises UserError where a value makes no sense, known before anything is read."""
        check_bounds(self)
        self.check_span()
        # A command line gives truth values as Python writes them, a column as everybody else does.
        values = tuple({"True": "true", "False": "false"}.get(str(value), str(value)) for value in self.values)
        object.__setattr__(self, "values", values)
        if (self.pairs is None) == (self.contrast is None):
            given = "both" if self.pairs is not None else "neither"
            raise UserError(
                f"pairs=FILE or contrast=COLUMN with match=[…] says which models are paired: {given} is given"
            )
        if self.contrast is None and (self.match or values):
            raise UserError("match and values go with contrast=COLUMN, not with pairs=FILE: leave them out")
        if self.contrast is not None and not self.match:
            raise UserError(
                f"contrast={self.contrast}: name the columns in which paired models agree, as in "
                "'match=[architecture,training_dataset]'"
            )
        if self.contrast in self.match:
            raise UserError(f"contrast={self.contrast} stands in match as well: paired models agree there")
        if values and (len(values) != 2 or values[0] == values[1]):
            raise UserError(f"values=[{','.join(values)}]: give two, of side a and of side b")
        if several(self.timm) and not self.dry_run:
            raise UserError("timm=… names models that no store holds yet: add dry_run=true to see their pairs")
        if several(self.timm) and self.pairs is not None:
            raise UserError("timm=… and pairs=FILE: a file names models of a store; give match and contrast")
