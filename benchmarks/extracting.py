"""The contestants of ``benchmarks.extract``, each in a process of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import answer, arguments_of_child
from distributed.references import ModelReference


def hub_ours(given: dict[str, Any]) -> dict[str, Any]:
    """The whole run: list timm's models, start Ray, extract by actors into a store."""
    from distributed.driver import extract
    from distributed.settings import ClusterSettings, ExtractionRun, ExtractSettings, ProgressStyle
    from distributed.sources.settings import TimmSettings
    from distributed.store.settings import StoreSettings

    run = ExtractionRun(
        TimmSettings(tuple(given["models"])),
        StoreSettings(given["folder"]),
        ClusterSettings(),
        ExtractSettings(progress=ProgressStyle.off),
    )
    code = extract(run)
    assert code == 0, code
    return {}


def hub_timm(given: dict[str, Any]) -> dict[str, Any]:
    """What one writes by hand: build each pretrained model, walk its modules, write its filters; no statistics."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import timm
    import torch

    folder = Path(given["folder"], "filters")
    folder.mkdir(parents=True)
    for name in given["models"]:
        model = timm.create_model(name, pretrained=True)
        writer = None
        for index, module in enumerate(model.modules()):
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
                rows = module.weight.detach().reshape(-1, 9).numpy()
                ids = pa.repeat(pa.scalar(index, pa.int64()), len(rows))
                table = pa.table({"layer_id": ids} | {f"w{i}": rows[:, i].copy() for i in range(9)})
                if writer is None:
                    writer = pq.ParquetWriter(folder / f"{name}.parquet", table.schema, compression="none")
                writer.write_table(table)
        if writer is not None:
            writer.close()
    return {}


def rate(given: dict[str, Any]) -> dict[str, Any]:
    """One local model on one core: CPU seconds of each stage of ours, and of bare pyarrow loops over what it wrote."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    import pyarrow.parquet as pq
    import torch

    torch.set_num_threads(1)
    from distributed.extraction import extract_model
    from distributed.settings import ExtractSettings
    from distributed.sources.local import list_local
    from distributed.sources.settings import LocalSettings
    from distributed.statistics import layer_statistics
    from distributed.store import Store
    from distributed.store.settings import StoreSettings

    (reference,) = list_local(LocalSettings(path=given["checkpoint"])).references
    repeats, folder = given["repeats"], Path(given["folder"])
    layer_statistics(torch.randn(256, 256, 3, 3))  # loads the compiled loops: once per process, whatever it extracts

    def ours() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        store = Store.open(StoreSettings(str(folder)))
        store.prepare()
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            extract_model(reference, store, ExtractSettings(), torch.device("cpu"), Path(scratch))

    cpu, wall = _both(ours, repeats)
    (file,) = (folder / "filters").glob("*.parquet")
    target = folder / "copy.parquet"
    same = {"compression": "none", "use_dictionary": ["layer_id"], "write_statistics": ["layer_id"]}
    bare = {
        "bare, same options": _both(lambda: _bare(file, target, same), repeats),
        "bare, synced": _both(lambda: _bare(file, target, same, sync=True), repeats),
        "bare, pyarrow's defaults": _both(lambda: _bare(file, target, {}), repeats),
    }
    rows = pq.read_metadata(file).num_rows
    return {"rows": rows, "stages": _stages(reference, repeats), "cpu": cpu, "wall": wall, "bare": bare}


def _stages(reference: ModelReference, repeats: int) -> dict[str, float]:
    """CPU seconds of the stages of ``extract_model`` that can be run alone."""
    from distributed.convolutions import materialise
    from distributed.extraction import plan_layers
    from distributed.formats import open_checkpoint
    from distributed.local_files import LocalFile
    from distributed.settings import ExtractSettings
    from distributed.statistics import layer_statistics, orthogonality
    from distributed.statistics.tensors import TENSORS
    from distributed.store import RowGroups
    from distributed.values import as_tensor

    path = Path(reference.root, reference.files[0].path)
    with open_checkpoint([LocalFile(path, "model")], prefer_ema=False) as checkpoint:
        layers = plan_layers(reference, checkpoint, ExtractSettings()).layers
        names = [part for layer in layers for part in layer.parts]
        read = _best(lambda: deque(checkpoint.read(names), maxlen=0), repeats)
        weights = [
            materialise(layer, {name: tensor})
            for layer, (name, tensor) in zip(layers, checkpoint.read(names), strict=True)
        ]

    tensors = [as_tensor(weight) for weight in weights]  # as an actor has them

    def columns() -> None:
        groups = RowGroups()
        for index, weight in enumerate(weights):
            deque(groups.add(index, weight.reshape(-1, 9)), maxlen=0)

    products = _best(lambda: [orthogonality(tensor, TENSORS) for tensor in tensors], repeats)
    return {
        "sha256": _best(lambda: LocalFile(path, "model").sha256(), repeats),
        "read": read,
        "orthogonality": products,
        "other statistics": _best(lambda: [layer_statistics(tensor) for tensor in tensors], repeats) - products,
        "columns": _best(columns, repeats),
    }


def _bare(file: Path, target: Path, options: dict[str, Any], *, sync: bool = False) -> None:
    """Read every row group and write it again."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as opened, pq.ParquetWriter(target, opened.schema_arrow, **options) as writer:
        for group in range(opened.num_row_groups):
            writer.write_table(opened.read_row_group(group))
    if sync:
        descriptor = os.open(target, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _best(work: Callable[[], object], repeats: int) -> float:
    return _both(work, repeats)[0]


def _both(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least CPU and least wall seconds: what other load adds is not the work's."""
    cpu, wall = [], []
    for _ in range(repeats):
        began, started = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - started)
    return min(cpu), min(wall)


def main() -> None:
    """Arguments: ``who`` (hub_ours, hub_timm, rate) and what that one reads."""
    given = arguments_of_child()
    began = time.perf_counter()
    found = {"hub_ours": hub_ours, "hub_timm": hub_timm, "rate": rate}[given["who"]](given)
    answer({"seconds": time.perf_counter() - began, **found})


if __name__ == "__main__":
    main()
