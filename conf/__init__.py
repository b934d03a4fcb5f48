"""Hydra configs, found as a package: ``extract.yaml``, ``shift.yaml`` and the groups ``source/ store/ cluster/``."""
