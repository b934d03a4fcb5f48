"""A folder ready to be pushed to the Hugging Face Hub as a data set: Parquet shards, and a card about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from analysis.export.measure import Chosen
from analysis.export.settings import ExportSettings, Level
from analysis.wording import one_line
from distributed import __version__
from distributed.records import FILTERS_SCHEMA
from distributed.store.conforming import as_stored

#: Filters of a shard, 300 MB: the Hub's viewer reads files of this size, and a few hundred hold the published data.
SHARD_ROWS = 1 << 23

#: Rows of a table of counts in the card.
_MOST_COUNTS = 30

_CITATION = """@inproceedings{gavrikov2022cnnfilterdb,
  title = {{CNN} Filter {DB}: An Empirical Investigation of Trained Convolutional Filters},
  author = {Gavrikov, Paul and Keuper, Janis},
  booktitle = {CVPR}, year = {2022}, pages = {19066--19076}, eprint = {2203.15331}
}
@misc{gavrikov2022shifts,
  title = {An Empirical Investigation of Model-to-Model Distribution Shifts in Trained Convolutional Filters},
  author = {Gavrikov, Paul and Keuper, Janis}, year = {2022}, eprint = {2201.08465}
}"""


def write_dataset(chosen: Chosen, settings: ExportSettings, folder: Path) -> None:
    """``data/`` with ``models``, ``layers`` and by level ``filters-*`` or ``histograms``, and ``README.md``.

    Raises:
        StoreError: a model's filters are missing or damaged.
    """
    data = folder / "data"
    data.mkdir()
    pq.write_table(as_stored(chosen.models), data / "models.parquet", compression="zstd")
    pq.write_table(chosen.layers, data / "layers.parquet", compression="zstd")
    parts = {"models": "data/models.parquet", "layers": "data/layers.parquet"}
    if settings.level is Level.filters:
        write_shards(chosen, data, SHARD_ROWS)
        parts = {"filters": "data/filters-*.parquet", **parts}
    if chosen.sketch is not None:
        chosen.sketch.to_parquet(data / "histograms.parquet")
        (folder / "basis.json").write_text(chosen.sketch.basis.to_json(), encoding="utf-8")
        parts["histograms"] = "data/histograms.parquet"
    (folder / "README.md").write_text(card(chosen, settings, parts), encoding="utf-8")


def write_shards(chosen: Chosen, folder: Path, rows: int) -> None:
    """``filters-00000-of-00012.parquet`` …: all filters in order of the models, ``rows`` a file, the last one fewer."""
    number = max(1, -(-chosen.extent.filters // rows))
    batches = _cut((batch for model_id in chosen.model_ids for batch in chosen.filters(model_id)), rows)
    batch = next(batches, None)
    for shard in range(number):
        left = rows
        # As the store itself writes them: weights do not compress, ids repeat.
        options = {"compression": "none", "use_dictionary": ["layer_id"]}
        name = f"filters-{shard:05}-of-{number:05}.parquet"
        with pq.ParquetWriter(folder / name, FILTERS_SCHEMA, **options) as writer:
            while batch is not None and left:
                writer.write_batch(batch)
                left -= batch.num_rows
                batch = next(batches, None)


def _cut(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches, cut where ``rows`` rows, and every further ``rows``, are complete."""
    left = rows
    for batch in batches:
        while batch.num_rows:
            piece = batch.slice(0, left)
            yield piece
            batch = batch.slice(piece.num_rows)
            left = left - piece.num_rows or rows


def card(chosen: Chosen, settings: ExportSettings, parts: dict[str, str]) -> str:
    """The data set's ``README.md``: front matter that the Hub understands, then what is in it."""
    licenses = Counter(chosen.models.column("license").to_pylist())
    front = {
        "pretty_name": "Learned 3x3 convolution filters",
        "tags": ["convolutional-filters", "model-weights", "distribution-shift"],
        "size_categories": [_size_category(chosen.extent.filters)],
        **_license_of(licenses),
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": path}],
                **({"default": True} if not i else {}),
            }
            for i, (name, path) in enumerate(parts.items())
        ],
    }
    tables = {"filters": FILTERS_SCHEMA, "models": as_stored(chosen.models).schema, "layers": chosen.layers.schema}
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        "# Learned 3x3 convolution filters",
        "",
        f"Version {settings.version}: {chosen.extent}.",
        f"Exported by cnn-filter-shift {__version__}, level `{settings.level}`.",
        "",
        "A filter is one 3x3 kernel, `w0 … w8` row by row, raw weights in float32. `filters.layer_id` leads to",
        "`layers`, `layers.model_id` to `models`. What is not known is null.",
        "",
        "## Models by task and visual category",
        "",
        *_counts(chosen, "task"),
        *_counts(chosen, "visual_category"),
        "## Licences of the models inside",
        "",
        "Weights stay under the licence of their model.",
        "",
        *_table(("licence", "models"), [(name or "not known", number) for name, number in licenses.most_common()]),
        "## Schema",
        "",
    ]
    for name in parts:
        if name in tables:
            rows = [(f"`{field.name}`", f"`{field.type}`") for field in tables[name]]
            lines += [f"### {name}", "", *_table(("column", "type"), rows)]
    if "histograms" in parts:
        lines += [
            "### histograms",
            "",
            "Counts of each layer's coefficients, 9 components x bins, on `basis.json`.",
            "",
        ]
    lines += ["## Citation", "", "```bibtex", _CITATION, "```", ""]
    papers = sorted({paper for paper in chosen.models.column("paper").to_pylist() if paper})
    if papers:
        lines += [f"The models are from {len(papers)} papers: column `paper` of `models`.", ""]
    return "\n".join(lines)


def _license_of(licenses: Counter[str | None]) -> dict[str, Any]:
    if len(licenses) == 1 and (only := next(iter(licenses))):
        return {"license": only.lower()}
    return {"license": "other", "license_name": "several", "license_link": "README.md"}


def _size_category(rows: int) -> str:
    """The Hub's own words for a number of rows."""
    if rows < 1_000:
        return "n<1K"
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    step = min(len(str(rows)) - 4, len(names) - 2)
    return f"{names[step]}<n<{names[step + 1]}"


def _counts(chosen: Chosen, column: str) -> list[str]:
    models, filters = Counter[str | None](), Counter[str | None]()
    rows = zip(chosen.models.column(column).to_pylist(), chosen.models.column("num_filters").to_pylist(), strict=True)
    for value, number in rows:
        models[value] += 1
        filters[value] += number
    ordered = filters.most_common(_MOST_COUNTS)
    shown = [(value or "not known", f"{models[value]:,}", f"{number:,}") for value, number in ordered]
    more = [f"and {len(filters) - _MOST_COUNTS} more", ""] if len(filters) > _MOST_COUNTS else []
    return [*_table((column.replace("_", " "), "models", "filters"), shown), *more]


def _table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A Markdown table; names are data."""
    cells = [[one_line(str(cell)).replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (heading, ["---"] * len(heading), *cells)] + [""]
