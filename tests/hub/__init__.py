"""A real HTTP server on loopback that speaks the Hub's API: in this process (``LoopbackHub``) or its own (``process``).

The real ``huggingface_hub`` client runs against it (HF_ENDPOINT). ``python -m tests.hub ROOT`` serves a folder by hand.
"""

from tests.hub.environment import hub_environment
from tests.hub.faults import Fault, FaultKind
from tests.hub.quotas import Quotas
from tests.hub.repositories import Repo, RepoFile
from tests.hub.requests import Request
from tests.hub.server import LoopbackHub

__all__ = ["Fault", "FaultKind", "LoopbackHub", "Quotas", "Repo", "RepoFile", "Request", "hub_environment"]
