"""Files that old torch, Python 2 and other picklers wrote, opcode by opcode: none of them is at hand any more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distributed.errors import SkipReason
from tests.distributed.formats.helpers import open_paths, refused
from tests.distributed.formats.pickles import entries, legacy, named, number, plain, tensor, text, whole, zipped

pytestmark = pytest.mark.usefixtures("each_source")

NINE = [float(value) for value in range(9)]


def short(value: str) -> bytes:
    """A byte string of Python 2."""
    return b"U" + bytes([len(value)]) + value.encode()


def storage() -> bytes:
    return b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + number(9) + b"tQ"


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


SHAPE, STRIDE = numbers(1, 1, 3, 3), numbers(9, 9, 3, 1)

#: A tensor, as torch has written it over the years.
TENSORS = {
    "0.1: a class and what set_ is given": named("torch", "FloatTensor")
    + b")R("
    + storage()
    + number(0)
    + SHAPE
    + STRIDE
    + b"tb",
    "0.2: on a GPU": named("torch.cuda", "FloatTensor") + b")\x81(" + storage() + number(0) + SHAPE + STRIDE + b"tb",
    "0.3: a function": named("torch._utils", "_rebuild_tensor") + b"(" + storage() + number(0) + SHAPE + STRIDE + b"tR",
    "0.4 on": tensor(),
}


@pytest.mark.parametrize("era", TENSORS)
@pytest.mark.parametrize("kind", ["bare", "Parameter", "Variable with its data in the state"])
def test_tensors_of_every_era(tmp_path: Path, era: str, kind: str) -> None:
    value = TENSORS[era]
    if kind == "Parameter":
        value = named("torch.nn.parameter", "Parameter") + b"(" + value + b"t\x81(\x88\x89Ntb"
    elif kind != "bare":
        value = named("torch.autograd.variable", "Variable") + b")\x81(" + value + b"NN\x88\x89tb"
    path = legacy(tmp_path / "m.pth", whole(entries(state_dict=entries(conv=value)), 2))
    with open_paths(path) as checkpoint:
        ((_, read),) = checkpoint.read(["conv"])
        assert (tuple(read.shape), read.flatten().tolist()) == ((1, 1, 3, 3), NINE)


def test_a_view_of_a_storage(tmp_path: Path) -> None:
    """Legacy files know storages that are views of others: (key, offset, size)."""
    view = b"(" + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + number(9)
    view += numbers(0, 4, 3) + b"tQ"
    value = named("torch._utils", "_rebuild_tensor") + b"(" + view + number(1) + numbers(2) + numbers(1) + b"tR"
    with open_paths(legacy(tmp_path / "m.pth", whole(entries(x=value), 2))) as checkpoint:
        assert dict(checkpoint.read(["x"]))["x"].tolist() == [5.0, 6.0]
    outside = named("torch._utils", "_rebuild_tensor") + b"(" + view + number(1) + numbers(3) + numbers(1) + b"tR"
    refused(legacy(tmp_path / "m.pth", whole(entries(x=outside), 2)), SkipReason.UNREADABLE, "larger than its storage")


def test_python_2_wrote_names_as_bytes_and_mappings_as_pairs(tmp_path: Path) -> None:
    identity = b"(" + short("storage") + named("torch", "FloatStorage") + short("0") + short("cpu") + number(9) + b"tQ"
    value = named("torch._utils", "_rebuild_tensor") + b"(" + identity + number(0) + SHAPE + STRIDE + b"tR"
    pair = b"(" + short("module.conv.weight") + value + b"l"
    state = named("collections", "OrderedDict") + b"((" + pair + b"ltR"
    path = legacy(tmp_path / "m.pth.tar", whole(b"}" + short("state_dict") + state + b"s", 2))
    with open_paths(path) as checkpoint:
        ((name, read),) = checkpoint.read([entry.name for entry in checkpoint.entries])
        assert (name, read.flatten().tolist()) == ("conv.weight", NINE)


def test_a_whole_module_that_legacy_files_keep_with_its_source(tmp_path: Path) -> None:
    cls = b"(" + text("module") + named("old", "Net") + text("old.py") + text("import os") + b"tQ"
    module = cls + b")\x81" + entries(_parameters=entries(weight=tensor()), _buffers=b"}", _modules=b"}") + b"b"
    with open_paths(legacy(tmp_path / "m.pth", whole(module, 2))) as checkpoint:
        assert [entry.name for entry in checkpoint.entries] == ["weight"]
        assert checkpoint.notes == ("read the parameters of whole modules (old.Net); their code was not run",)


def test_a_class_that_cloudpickle_makes_in_a_call(tmp_path: Path) -> None:
    cls = (
        named("cloudpickle.cloudpickle", "_make_skeleton_class")
        + b"("
        + named("builtins", "type")
        + text("Net")
        + b"tR"
    )
    module = cls + b")\x81" + entries(_parameters=entries(weight=tensor()), _buffers=b"}", _modules=b"}") + b"b"
    with open_paths(zipped(tmp_path / "m.pth", whole(entries(model=module)))) as checkpoint:
        assert [entry.name for entry in checkpoint.entries] == ["weight"]


def test_an_instance_in_the_words_of_protocol_0_and_1(tmp_path: Path) -> None:
    made = named("copyreg", "_reconstructor") + b"(" + named("lab", "Config") + named("builtins", "object") + b"NtR"
    tree = entries(model=entries(conv=tensor()), config=made + entries(lr=number(1)) + b"b")
    with open_paths(zipped(tmp_path / "m.pth", whole(tree, 2))) as checkpoint:
        assert checkpoint.notes == ("set aside, without running it: lab.Config",)


def test_deepspeed_zero_3_keeps_the_buffers(tmp_path: Path) -> None:
    names = ("conv.weight", "bn.weight", "bn.bias")
    module = {name: torch.empty(0) for name in names} | {
        "bn.running_mean": torch.ones(4),
        "bn.running_var": torch.ones(4),
    }
    torch.save({"module": module}, tmp_path / "mp_rank_00_model_states.pt")
    words = "DeepSpeed ZeRO-3", "zero_to_fp32.py", "3 empty tensors of 5"
    refused(tmp_path / "mp_rank_00_model_states.pt", SkipReason.UNSUPPORTED_FORMAT, *words)


def test_the_pickle_of_an_unpacked_archive_says_what_to_do(tmp_path: Path) -> None:
    path = plain(tmp_path / "data.pkl", whole(entries(conv=tensor()), 2))
    refused(path, SkipReason.UNREADABLE, "of an unpacked archive, zip the folder again")
