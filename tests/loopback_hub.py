"""The loopback Hub's former place: see ``tests.hub``."""

from tests.hub import Fault, FaultKind, LoopbackHub, Quotas, Repo, RepoFile, Request, hub_environment

__all__ = ["Fault", "FaultKind", "LoopbackHub", "Quotas", "Repo", "RepoFile", "Request", "hub_environment"]
