"""A store for the tests of the report: small, with names that try to be markup, its sketch kept."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.scanning.sketching import ScanOptions, sketch_of_store
from analysis.scanning.thread_workers import ThreadWorkers
from distributed.store import Store, StoreSettings
from tests.distributed.store.build import reject
from tests.stores import Layer, Model, blob_filters, write_store

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script><!--"
LINK = '<b>bold</b> & <a href="javascript:alert(3)">x</a> &lt; $x$'


def hostile_store(folder: Path) -> Store:
    """24 models of four tasks; one task, model names, a family and a skip's message are markup."""
    tasks = [LINK, "Segmentation", "Classification", "Denoising"]
    generator = np.random.default_rng(0)
    models = []
    for index in range(24):
        number = int(generator.integers(3, 8))
        layers = [
            Layer(f"stage{i}.conv.weight", i, i / (number - 1), blob_filters(generator, 40 << (i % 3), i / 8))
            for i in range(number)
        ]
        columns = {"task": tasks[index % 4], "architecture": f"net{index}", "family": f"family{index % 5}"}
        models.append(Model(f"model_{index:02}", layers, columns, content=str(index)))
    models[0].name, models[0].columns["family"] = IMAGE, SCRIPT
    models[1].name, models[1].columns["uri"] = SCRIPT, "javascript:alert(4)"
    models[2].name = "line\nbreak \u2028 \u202e right to left"
    models[23].columns["task"] = "Only One"
    store = Store.open(StoreSettings(str(write_store(folder, models))))
    skip = replace(reject("0" * 16, f"needs {SCRIPT}"), name=IMAGE, uri="hub/x", file="a.bin", reason="unsafe_pickle")
    store.write_skip(skip)
    sketch_of_store(store, store.layers(), options=ScanOptions(workers=lambda _: nullcontext(ThreadWorkers(2))))
    return store
