"""Hydra configs, found as a package: ``extract.yaml``, ``shift.yaml`` and the groups ``source/ store/ cluster/``."""


def register_schemas() -> None:
    """Give Hydra the typed schemas that the YAML files name, so that wrong keys and types are refused."""
    from analysis.settings import ShiftSettings
    from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, TimmSettings

    from distributed.configuration import register
    from distributed.settings import ClusterSettings, ExtractionRun
    from distributed.store.settings import StoreSettings

    register("extract_schema", ExtractionRun)
    register("shift_schema", ShiftSettings)
    for source in (SampleSettings, LocalSettings, TimmSettings, HubSettings):
        register(f"{source.kind}_schema", source, group="source")
    register("store_schema", StoreSettings, group="store")
    register("cluster_schema", ClusterSettings, group="cluster")
