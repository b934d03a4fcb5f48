"""Where an export goes: made beside its place, moved there whole, and never over what is not an earlier export."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed.errors import UserError

#: Lists the files of an export, in its folder.
LEDGER = ".cnn-filter-shift-export.json"


@contextmanager
def new_file(target: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A path to write to; what is there when the context ends well becomes ``target``.

    Args:
        target: may be an earlier export.
        is_ours: whether a file is one.

    Raises:
        UserError: something else is there, or the disk refuses.
    """
    if target.exists() and (target.is_dir() or not is_ours(target)):
        raise _not_ours(target, "is not an earlier export")
    with _partial(target) as partial:
        yield partial
        os.replace(partial, target)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write into; it becomes ``target``, whole, when the context ends well.

    Raises:
        UserError: ``target`` is a file, or holds files that no export has written, or the disk refuses.
    """
    _check_folder(target)
    with _partial(target) as partial:
        partial.mkdir()
        yield partial
        names = sorted(str(path.relative_to(partial)) for path in partial.rglob("*") if path.is_file())
        (partial / LEDGER).write_text(json.dumps(names, indent=1) + "\n", encoding="utf-8")
        _check_folder(target)  # once more: it may have taken an hour
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        if target.exists():
            os.rename(target, old)
        try:
            os.rename(partial, target)
        except OSError:
            if old.exists():
                os.rename(old, target)
            raise
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}: choose another place, or make room"
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _check_folder(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise _not_ours(target, "is a file")
    try:
        known = set(json.loads((target / LEDGER).read_text(encoding="utf-8"))) | {LEDGER}
    except (OSError, ValueError):
        known = set()
    there = [str(path.relative_to(target)) for path in sorted(target.rglob("*")) if not path.is_dir()]
    foreign = [name for name in there if name not in known]
    if foreign:
        raise _not_ours(target, f"holds {len(foreign)} files that no export wrote ({', '.join(foreign[:3])} …)")


def _not_ours(target: Path, why: str) -> UserError:
    return UserError(f"out={target} {why}: nothing was written; choose another place, or remove it")
