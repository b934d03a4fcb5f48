"""What a zip archive is, from the names of its members."""

from __future__ import annotations

from collections.abc import Iterable


def torch_root(names: Iterable[str]) -> str | None:
    """Where in the archive a torch.save or TorchScript checkpoint lies (``archive/``); None where there is not one."""
    roots = [name[: -len("data.pkl")] for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    return roots[0] if len(roots) == 1 else None


def described(names: Iterable[str]) -> str:
    """An archive that is no checkpoint, in words, with what to do."""
    members = sorted(names)
    if any(name.endswith("model.weights.h5") for name in members):
        return "a Keras model"
    if members and all(name.endswith(".npy") for name in members):
        return "a NumPy .npz archive"
    if any(name.endswith("archive_format") for name in members):
        return "a torch.export archive; save the model's state_dict() instead"
    if any(name.endswith(".data/extern_modules") for name in members):
        return "a torch.package archive; save the model's state_dict() instead"
    return f"a zip archive of {', '.join(members[:3])[:120] or 'nothing'}; unpack it, and extract what is in it"
