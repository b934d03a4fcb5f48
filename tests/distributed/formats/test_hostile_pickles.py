"""Pickles made to run code, to take all memory, or never to end. None of them may do anything."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from distributed.errors import SkipReason, UnextractableError
from tests.distributed.formats.helpers import open_paths, refused
from tests.distributed.formats.pickles import (
    entries,
    legacy,
    named,
    number,
    plain,
    tensor,
    text,
    whole,
    zipped,
)
from tests.distributed.formats.watch import watched

pytestmark = pytest.mark.usefixtures("each_source")

UNSAFE, UNREADABLE = SkipReason.UNSAFE_PICKLE, SkipReason.UNREADABLE

#: What runs, opens, imports or evaluates something when it is called.
CALLS = [
    *(("os", "system"), ("posix", "system"), ("nt", "system"), ("os", "execv"), ("subprocess", "Popen")),
    *(("subprocess", "check_output"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "compile")),
    *(("builtins", "__import__"), ("builtins", "open"), ("builtins", "breakpoint"), ("builtins", "input")),
    *(("__builtin__", "eval"), ("__builtin__", "apply"), ("commands", "getoutput"), ("importlib", "import_module")),
    *(("runpy", "run_path"), ("shutil", "rmtree"), ("socket", "create_connection"), ("ctypes", "CDLL")),
    *(("pty", "spawn"), ("code", "interact"), ("codeop", "compile_command"), ("webbrowser", "open"), ("io", "open")),
    *(("pickle", "loads"), ("_pickle", "loads"), ("marshal", "loads"), ("timeit", "timeit"), ("cProfile", "run")),
    *(("pdb", "run"), ("bdb", "Bdb"), ("pydoc", "pipepager"), ("doctest", "debug_script"), ("tempfile", "mktemp")),
    *(("threading", "Thread"), ("multiprocessing", "Process"), ("asyncio", "run"), ("http.client", "HTTPSConnection")),
    *(("urllib.request", "urlopen"), ("sys", "exit"), ("ensurepip", "bootstrap"), ("zipimport", "zipimporter")),
    *(("torch.serialization", "os.system"), ("numpy", "sys.modules.get"), ("torch.hub", "subprocess.run")),
]

ARGUMENT = text("touch /tmp/ran")

#: Ways of calling, by opcode.
WAYS: dict[str, Callable[[bytes, tuple[str, str]], bytes]] = {
    "reduce": lambda function, _: function + b"(" + ARGUMENT + b"tR",
    "newobj": lambda function, _: function + b"(" + ARGUMENT + b"t\x81",
    "newobj_ex": lambda function, _: function + b"(" + ARGUMENT + b"t}\x92",
    "obj": lambda function, _: b"(" + function + ARGUMENT + b"o",
    "inst": lambda _, name: b"(" + ARGUMENT + f"i{name[0]}\n{name[1]}\n".encode(),
}

#: Where in a checkpoint the call stands.
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "alone": lambda evil: evil,
    "beside the weights": lambda evil: entries(state_dict=entries(conv=tensor()), x=evil),
    "among the weights": lambda evil: entries(state_dict=entries(conv=tensor(), x=evil)),
    "deep inside": lambda evil: entries(a=b"](" + entries(b=b"(" + evil + b"l") + b"e", conv=tensor()),
    "a key": lambda evil: b"}" + evil + b"Ns",
    "thrown away": lambda evil: evil + b"0" + entries(conv=tensor()),
    "an argument": lambda evil: named("torch._utils", "_rebuild_parameter") + b"(" + evil + b"\x89NtR",
    "the state of an object": lambda evil: named("argparse", "Namespace") + b")R" + entries(x=evil) + b"b",
    "a type of array": lambda evil: named("numpy.core.multiarray", "scalar") + b"(" + evil + b"C\x01\x00tR",
    "before the end that never comes": lambda evil: evil + b"\x00\x00",
}


@pytest.fixture(autouse=True)
def read_once(tmp_path: Path) -> None:
    """What reading imports, it has imported before anything is watched."""
    for path in (
        zipped(tmp_path / "warm.pth", whole(entries(conv=tensor()))),
        legacy(tmp_path / "warm", whole(tensor())),
    ):
        with open_paths(path) as checkpoint:
            list(checkpoint.read([entry.name for entry in checkpoint.entries]))


def refuse(path: Path, *words: str) -> None:
    with watched() as seen:
        refused(path, UNSAFE, "nothing of it was run", *words)
    assert seen == []


@pytest.mark.parametrize("name", CALLS, ids=".".join)
def test_what_would_run_code_is_refused_by_name(tmp_path: Path, name: tuple[str, str]) -> None:
    for protocol in (2, 4):
        evil = PLACES["beside the weights"](WAYS["reduce"](named(*name, protocol), name))
        refuse(zipped(tmp_path / "m.pth", whole(evil, protocol)), name[1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", PLACES)
def test_wherever_and_however_it_is_called(tmp_path: Path, place: str, way: str) -> None:
    for protocol in (0, 2, 4, 5):
        name = ("posix", "system")
        data = whole(PLACES[place](WAYS[way](named(*name, protocol), name)), protocol)
        # Older protocols begin with no mark of their own; and a plain pickle has no storages to refer to.
        if protocol > 1 and b"FloatStorage" not in data:
            refuse(plain(tmp_path / "m.pkl", data), "posix.system")
        refuse(zipped(tmp_path / "m.pth", data), "posix.system")
        refuse(legacy(tmp_path / "m.th", data), "posix.system")


def test_in_the_parts_of_torchscript(tmp_path: Path) -> None:
    evil = whole(WAYS["reduce"](named("posix", "system"), ("posix", "system")), 2)
    good = whole(entries(x=number(3)), 2)
    refuse(zipped(tmp_path / "a.pt", evil, constants=good), "posix.system")
    refuse(zipped(tmp_path / "b.pt", good, constants=evil), "posix.system")


def test_in_a_file_inside_the_pickle(tmp_path: Path) -> None:
    inner = legacy(tmp_path / "inner", whole(WAYS["reduce"](named("posix", "system"), ("posix", "system")), 2))
    content = inner.read_bytes()
    outer = named("torch.storage", "_load_from_bytes") + b"(B" + len(content).to_bytes(4, "little") + content + b"tR"
    refuse(plain(tmp_path / "m.pkl", whole(entries(x=outer))), "posix.system")


def test_calls_of_what_a_call_gave(tmp_path: Path) -> None:
    """getattr(x, "system")("…"): x may be anything, so nothing that getattr gives is called."""
    method = named("builtins", "getattr") + b"(" + named("torch", "serialization") + text("os") + b"tR"
    refuse(plain(tmp_path / "m.pkl", whole(method + b"(" + ARGUMENT + b"tR")), "builtins.getattr")


def test_extension_codes_are_refused(tmp_path: Path) -> None:
    refuse(plain(tmp_path / "m.pkl", whole(b"\x82\x01)R")), "copyreg extension 1")


def test_allowlisting_elsewhere_in_the_process_changes_nothing(tmp_path: Path) -> None:
    evil = whole(WAYS["reduce"](named("posix", "system"), ("posix", "system")), 2)
    import os

    with torch.serialization.safe_globals([(os.system, "posix.system")]):
        refuse(zipped(tmp_path / "m.pth", evil), "posix.system")


def test_what_a_package_would_do_is_never_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls into other packages are set aside: the model is read, the package is not even imported."""
    (tmp_path / "canary_of_the_test.py").write_text("print('sung')\ndef sing(*_): print('sung')\n")
    monkeypatch.syspath_prepend(tmp_path)
    call = named("canary_of_the_test", "sing") + b"(" + ARGUMENT + b"tR" + entries(a=number(1)) + b"b"
    path = zipped(tmp_path / "m.pth", whole(entries(state_dict=entries(conv=tensor()), x=call)))
    with watched() as seen, open_paths(path) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["conv"]
        assert dict(checkpoint.read(["conv"]))["conv"].sum() == 36
        assert checkpoint.notes == ("set aside, without running it: canary_of_the_test.sing",)
    assert seen == []
    assert "canary_of_the_test" not in sys.modules
    assert capsys.readouterr().out == ""


def test_the_watch_sees(tmp_path: Path) -> None:
    with watched() as seen:
        (tmp_path / "x").write_text("x")
        exec("1")
    assert [event.split()[0] for event in seen] == ["open", "compile", "exec"]


def modules(levels: int) -> bytes:
    """A module with two names for a module with two names for …: 2^levels names."""
    made = named("x", "Module") + b")\x81" + entries(_parameters=entries(w=tensor()), _modules=b"}") + b"b"
    for level in range(levels):
        memo = b"r" + level.to_bytes(4, "little")
        again = b"j" + level.to_bytes(4, "little")
        children = b"}" + text("a") + made + memo + b"s" + text("b") + again + b"s"
        made = named("x", "Module") + b")\x81" + entries(_parameters=b"}", _modules=children) + b"b"
    return made


MANY = b"".join(text(f"k{i}") + b"N" for i in range(5_000))
SHARED = b"}(" + MANY + b"uq\x00"
TWICE = b"2\x86" * 200  # a tuple of two of the same, 200 levels: 2^200 leaves

#: A few bytes that ask for much.
BOMBS: dict[str, bytes] = {
    "an index of the memo": b"Nr\xff\xff\xff\xff",
    "a tuple as key": b"})" + TWICE + b"Ns",
    "a tuple in a set": b"\x8f()" + TWICE + b"\x90",
    "a tuple as persistent id": b")" + TWICE + b"Q",
    "a tuple as size": named("torch._utils", "_rebuild_tensor_v2") + b"(NN)" + TWICE + b"NNNtR",
    "a tuple as a name": b")" + TWICE + b"X\x01\x00\x00\x00a\x93",
    "tuples of tuples": b")" + TWICE,
    "lists of lists": b"]" * 100_000 + b"a" * 99_999,
    "tuples in tuples": b")" + b"\x85" * 100_000,
    "dicts in dicts": b"".join(b"}" + text("model") for _ in range(100_000)) + b"N" + b"s" * 100_000,
    "marks": b"(" * 100_000 + b"N",
    "objects in objects": (named("x", "Y") + b")R") * 30_000 + b"b" * 29_999,
    "a long number": b"\x8b\xff\xff\xff\x7f",
    "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n",
    "a text of 2^62 characters": b"\x8d" + (2**62).to_bytes(8, "little"),
    "bytes of 2^62": b"\x8e" + (2**62).to_bytes(8, "little"),
    "a bytearray of 2^62": b"\x96" + (2**62).to_bytes(8, "little"),
    "a frame of 2^63": b"\x95" + (2**63).to_bytes(8, "little") + b"N",
    "a buffer from elsewhere": b"\x97",
    "a name of a million characters": b"c" + b"a" * 1_000_000 + b"\nb\n",
    "a long name for every call": b"c" + b"a" * 2_000 + b"\nb\nq\x00" + b"h\x00)R" * 100_000,
    "a bytearray that is asked for": named("builtins", "bytearray") + b"(" + number(2**50) + b"tR",
    "a tensor that is asked for": named("torch", "FloatTensor") + b"(" + number(2**50) + b"tR",
    "an array that is asked for": named("numpy", "zeros") + b"(" + number(2**50) + b"tR",
    "modules with 2^60 names": modules(60),
    "objects with one state": b"](" + SHARED + b"0" + (named("x", "Y") + b")Rh\x00b") * 5_000 + b"e",
    "mappings of one": b"(](" + MANY + b"eq\x000" + (named("collections", "OrderedDict") + b"h\x00\x85R") * 5000 + b"t",
    "objects with one list of arguments": b"((" + MANY + b"tq\x000" + (named("x", "Y") + b"h\x00R") * 5_000 + b"t",
    "named arguments": b"((" + MANY + b"tq\x000" + (named("x", "Y") + b"h\x00}\x92") * 5_000 + b"t",
    "a list in itself": b"]q\x00h\x00a",
    "a dict in itself": b"}q\x00" + text("model") + b"h\x00s",
    "an object in itself": named("x", "Y") + b")Rq\x00" + entries(model=b"h\x00") + b"b",
    "a module in itself": named("x", "Y") + b")Rq\x00" + entries(_parameters=b"}", _modules=entries(a=b"h\x00")) + b"b",
    "a tensor in itself": named("torch._utils", "_rebuild_parameter") + b"(]q\x00h\x00a\x89NtR",
    "a storage of 2^60": tensor(elements=2**60),
    "sizes whose product has no end": tensor(size=(2**62,) * 60, elements=9),
    "an array of 2^62": named("numpy.core.multiarray", "_reconstruct") + b")R(" + number(1) + number(2**62) + b"\x85"
    + named("numpy", "dtype") + b"(" + text("f4") + b"tR\x89C\x04aaaatb",
    "one list for every entry": b"](" + b"](" + b"N" * 10_000 + b"eq\x00" + b"h\x00" * 10_000 + b"e",
    "one wrapper for every entry": b"](" + b"](" + b"N" * 10_000 + b"eq\x00" + entries(model=b"h\x00") * 10_000 + b"e",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_cost_no_more_than_their_bytes(tmp_path: Path, bomb: str) -> None:
    data = whole(BOMBS[bomb])
    for path in (zipped(tmp_path / "m.pth", data), legacy(tmp_path / "m.th", data), plain(tmp_path / "m.pkl", data)):
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        refusal: UnextractableError | None = None
        try:
            with watched() as seen, open_paths(path) as checkpoint:
                names = [entry.name for entry in checkpoint.entries]
                assert sum(tensor.numel() for _, tensor in checkpoint.read(names)) <= 9
        except UnextractableError as caught:
            refusal = caught
        assert refusal is None or (len(str(refusal)) < 1000 and "\n" not in str(refusal))
        assert refusal is None or refusal.place.file == path.name
        assert seen == []
        assert time.process_time() - started < 10
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # kB


@pytest.mark.slow
def test_opcodes_without_end(tmp_path: Path) -> None:
    refused(plain(tmp_path / "m.pkl", b"\x80\x04" + b"N0" * (1 << 24)), UNREADABLE, "at most 16777216 opcodes")
