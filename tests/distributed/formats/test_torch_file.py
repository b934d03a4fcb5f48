from __future__ import annotations

import argparse
import collections
import datetime
import functools
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch.distributed.tensor import DTensor

from distributed.errors import SkipReason, UnextractableError
from distributed.formats.pickle_values import STORAGE_DTYPES
from tests.distributed.formats.helpers import open_paths, refused
from tests.distributed.formats.pickles import entries, named, number, tensor, text, whole, zipped

pytestmark = pytest.mark.usefixtures("each_source")

UNREADABLE = SkipReason.UNREADABLE
KINDS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(tree: object, path: Path, zipped: bool = True, **options: Any) -> Path:
    torch.save(tree, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def rewrite(path: Path, change: dict[str, bytes], **options: Any) -> None:
    """Write a zip checkpoint again with other members' bytes."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members |= {name: data for name, data in change.items() if data}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@KINDS
@pytest.mark.parametrize("suffix", ["pth", "pt", "th", "bin", "tar", "ckpt"])
def test_tensors_come_back_as_saved_in_order(tmp_path: Path, zipped: bool, suffix: str) -> None:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool)
    tree = {f"z{9 - i}.weight": torch.randn(4, 3, 3, 3).to(dtype) for i, dtype in enumerate(dtypes)}
    if zipped:
        tree["float8.weight"] = torch.randn(4, 3).to(torch.float8_e4m3fn)
    tree["strided.weight"] = torch.randn(8, 6)[::2, 1:4]
    with open_paths(save(tree, tmp_path / f"model.{suffix}", zipped)) as checkpoint:
        assert checkpoint.format == "torch"
        assert checkpoint.order_known
        assert checkpoint.graph is None
        assert [(e.name, e.shape, f"torch.{e.dtype}") for e in checkpoint.entries] == [
            (name, tuple(t.shape), str(t.dtype)) for name, t in tree.items()
        ]
        for name, tensor in checkpoint.read(list(reversed(tree))):
            assert tensor.dtype is tree[name].dtype
            assert torch.equal(tensor, tree[name])


@KINDS
def test_module_state_with_parameters_and_metadata(tmp_path: Path, zipped: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    tree = {"state_dict": module.state_dict(), "extra": torch.nn.Parameter(torch.ones(2, 2))}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        names = [e.name for e in checkpoint.entries]
        assert names == [*(f"state_dict.{n}" for n in module.state_dict()), "extra"]
        assert all(not t.requires_grad for _, t in checkpoint.read(names))


@KINDS
def test_tied_tensors_count_once(tmp_path: Path, zipped: bool) -> None:
    shared = torch.randn(4, 3, 3, 3)
    tree = {"a.weight": shared, "b.weight": shared, "half.weight": shared[:2], "own.weight": shared.clone()}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["a.weight", "half.weight", "own.weight"]
        assert "counted 'b.weight' once: it is tied to 'a.weight'" in checkpoint.notes


def test_sparse_and_meta_tensors_are_left_out_with_a_note(tmp_path: Path) -> None:
    tree = {"a.weight": torch.ones(2), "s": torch.eye(3).to_sparse(), "m": torch.empty(2, device="meta")}
    with open_paths(save(tree, tmp_path / "m.pth")) as checkpoint:
        assert [e.name for e in checkpoint.entries] == ["a.weight"]
        assert set(checkpoint.notes) == {"left out 's': a sparse_coo tensor", "left out 'm': a meta tensor"}


def test_shards_by_index(tmp_path: Path) -> None:
    save({"z.weight": torch.ones(1), "a.weight": torch.ones(2)}, tmp_path / "pytorch_model-00001.bin")
    save({"b.weight": torch.ones(3)}, tmp_path / "pytorch_model-00002.bin", zipped=False)
    index = tmp_path / "pytorch_model.bin.index.json"
    weight_map = {
        "z.weight": "pytorch_model-00001.bin",
        "b.weight": "pytorch_model-00002.bin",
        "a.weight": "pytorch_model-00001.bin",
    }
    index.write_text(json.dumps({"weight_map": weight_map}))
    shards = sorted(tmp_path.glob("*.bin"))
    with open_paths(index, *shards) as checkpoint:
        assert [e.name for e in checkpoint.entries] == list(weight_map)
        assert checkpoint.order_known
        assert [t.numel() for _, t in checkpoint.read(["a.weight", "b.weight"])] == [2, 3]
    # An index from another time: the tensor is in the other shard, or one is not listed.
    index.write_text(json.dumps({"weight_map": {"z.weight": shards[0].name, "a.weight": shards[1].name}}))
    with open_paths(index, *shards) as checkpoint:
        assert [t.numel() for _, t in checkpoint.read(["z.weight", "a.weight"])] == [1, 2]
        assert checkpoint.notes == (
            "the shard index is stale: 1 tensors are in other shards than it says",
            "left out 1 tensors that the shard index does not list",
        )
    index.write_text(json.dumps({"weight_map": {**weight_map, "q": "pytorch_model-00002.bin"}}))
    with pytest.raises(UnextractableError, match=r"00002\.bin: 'q': tensor of the index is not in its shard"):
        open_paths(index, *shards)


class Settings:
    """A class of the training code: the file names it, nobody here has to have it."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class ShardOfATensor:
    """Pickled as a DTensor is, whose process group nobody has to start here."""

    def __init__(self, shape: tuple[int, ...], local: torch.Tensor) -> None:
        self.shape, self.local = shape, local

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (DTensor, torch.float32, self.shape, self.local.stride(), 0, None, None, False)
        state = (None, {"_local_tensor": self.local})
        return torch._tensor._rebuild_from_type_v2, (torch._utils._rebuild_wrapper_subclass, DTensor, arguments, state)


class TestBesideTheWeights:
    """What else people save, protocol by protocol: read or set aside, never a reason to lose the model."""

    @KINDS
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_what_lies_beside_the_tensors_is_set_aside_by_name(
        self, tmp_path: Path, zipped: bool, protocol: int
    ) -> None:
        state = {"conv.weight": torch.randn(4, 3, 3, 3), "conv.bias": torch.randn(4)}
        tree = {
            "state_dict": state,
            "best": np.float64(0.731),
            "means": np.array([0.4, 0.2]),
            "words": np.array(["a", "b"], dtype=object),
            "args": argparse.Namespace(lr=0.1, sizes=[1, 2], where=Path("runs")),
            "hyper_parameters": OmegaConf.create({"lr": 0.1, "sizes": [1, 2]}),
            "settings": Settings(kind="x", mean=np.zeros(3)),
            "when": datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC),
            "history": collections.defaultdict(list, {"loss": collections.deque([0.5, 0.4], maxlen=3)}),
            "seen": {1, 2, frozenset({3})},
            "rng": np.random.RandomState(0).get_state(),
            "call": functools.partial(max, 1),
        }
        path = save(tree, tmp_path / "m.pth", zipped, pickle_protocol=protocol)
        with open_paths(path) as checkpoint:
            assert [entry.name for entry in checkpoint.entries] == list(state)
            assert all(torch.equal(tensor, state[name]) for name, tensor in checkpoint.read(list(state)))
            (note,) = [note for note in checkpoint.notes if note.startswith("set aside, without running it")]
            assert "kinds more" in note
            assert "omegaconf" in note

    @KINDS
    @pytest.mark.parametrize("protocol", [2, 4, 5])
    def test_a_whole_module_gives_its_state_dict(self, tmp_path: Path, zipped: bool, protocol: int) -> None:
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Sequential())
        module[2].add_module("inner", torch.nn.Conv2d(4, 4, 3, bias=False))
        module[2].add_module("same", module[2].inner)
        module[2].register_buffer("passing", torch.ones(5), persistent=False)
        module.lonely = Settings(weight=torch.ones(4, 4, 3, 3))  # no part of the state dict
        path = save({"epoch": 3, "model": module, "ema": None}, tmp_path / "m.pth", zipped, pickle_protocol=protocol)
        expected = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("2.same")}
        with open_paths(path) as checkpoint:
            assert [entry.name for entry in checkpoint.entries] == list(expected)
            assert all(torch.equal(tensor, expected[name]) for name, tensor in checkpoint.read(list(expected)))
            assert "torch.nn.modules.container.Sequential" in " ".join(checkpoint.notes)
            assert "counted '2.same.weight' once: it is tied to '2.inner.weight'" in checkpoint.notes

    def test_a_whole_module_of_torch_fx(self, tmp_path: Path) -> None:
        module = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()))
        with open_paths(save(module, tmp_path / "m.pt")) as checkpoint:
            assert [entry.name for entry in checkpoint.entries] == ["0.weight", "0.bias"]

    def test_a_module_that_keeps_its_state_in_an_argument(self, tmp_path: Path) -> None:
        """As StyleGAN's torch_utils.persistence has it: a function and a mapping, in a plain pickle."""
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False))
        meta = {"type": "class", "class_name": "Generator", "state": dict(module.__dict__)}

        class Persistent:
            def __reduce__(self) -> tuple[Any, ...]:
                return Settings, (meta,)

        path = tmp_path / "network.pkl"
        path.write_bytes(pickle.dumps({"G_ema": Persistent()}))
        with open_paths(path) as checkpoint:
            assert [(e.name, e.shape) for e in checkpoint.entries] == [("0.weight", (4, 3, 3, 3))]
            ((_, tensor),) = checkpoint.read(["0.weight"])
            assert torch.equal(tensor, module[0].weight)

    @KINDS
    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_numpy_arrays_are_weights(self, tmp_path: Path, zipped: bool, protocol: int) -> None:
        rng = np.random.default_rng(0)
        state = {
            "a.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
            "long.weight": rng.normal(size=(64, 64, 3, 3)).astype(np.float32),  # too long to be kept apart as text
            "turned.weight": np.asfortranarray(rng.normal(size=(4, 3, 3, 3))),
            "big.weight": rng.normal(size=(4, 3, 3, 3)).astype(">f4"),
            "half.weight": rng.normal(size=(4, 3)).astype(np.float16),
            "scale": np.array(7),
            "flags": np.array([True, False]),
        }
        with open_paths(save(state, tmp_path / "m.pth", zipped, pickle_protocol=protocol)) as checkpoint:
            assert [(e.name, e.shape) for e in checkpoint.entries] == [(n, a.shape) for n, a in state.items()]
            for name, tensor in checkpoint.read(list(state)):
                np.testing.assert_array_equal(tensor.numpy(), state[name], err_msg=name)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_plain_pickles_of_arrays_and_of_tensors(self, tmp_path: Path, protocol: int) -> None:
        arrays = {"model": {"stem.conv1.weight": np.ones((4, 3, 3, 3), np.float32)}, "matching_heuristics": True}
        tensors = {"stem.conv1.weight": torch.randn(4, 3, 3, 3), "again": torch.randn(2)}
        for name, tree in (("detectron.pkl", arrays), ("state.pkl", tensors)):
            path = tmp_path / name
            path.write_bytes(pickle.dumps(tree, protocol=protocol))
            with open_paths(path) as checkpoint:
                assert checkpoint.entries[0].name == "stem.conv1.weight"
                ((_, tensor),) = checkpoint.read(["stem.conv1.weight"])
                expected = tensors["stem.conv1.weight"] if tree is tensors else torch.ones(4, 3, 3, 3)
                assert torch.equal(tensor, expected)

    def test_python_2_wrote_its_bytes_as_strings(self, tmp_path: Path) -> None:
        """As Caffe2 model zoos have it: protocol 2, BINSTRING names and data."""
        data = np.arange(18, dtype="<f4").tobytes()
        dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02K\x01K\x03K\x03t"
        array += dtype + b"\x89T" + struct.pack("<I", len(data)) + data + b"tb"
        path = tmp_path / "R-50.pkl"
        path.write_bytes(b"\x80\x02}U\x05blobs}U\x07conv1_w" + array + b"ss.")
        with open_paths(path) as checkpoint:
            ((_, tensor),) = checkpoint.read(["blobs.conv1_w"])
            assert tensor.flatten().tolist() == list(range(18))


class TestTorchScript:
    @staticmethod
    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3))
        ).eval()

    @pytest.mark.filterwarnings("ignore:.torch.jit")
    @pytest.mark.parametrize("how", ["traced", "scripted"])
    def test_parameters_by_their_names(self, tmp_path: Path, how: str) -> None:
        network = self.network()
        scripted = torch.jit.script(network) if how == "scripted" else torch.jit.trace(network, torch.ones(1, 3, 9, 9))
        scripted.save(tmp_path / "m.pt")
        expected = network.state_dict()
        with open_paths(tmp_path / "m.pt") as checkpoint:
            read = dict(checkpoint.read([entry.name for entry in checkpoint.entries]))
            assert {n for n, t in read.items() if t.ndim} == {n for n, t in expected.items() if t.ndim}
            assert all(torch.equal(tensor, expected[name]) for name, tensor in read.items())

    @pytest.mark.filterwarnings("ignore:.torch.jit")
    def test_weights_of_a_frozen_module_are_its_constants(self, tmp_path: Path) -> None:
        network = self.network()
        torch.jit.freeze(torch.jit.script(network), optimize_numerics=False).save(tmp_path / "m.pt")
        with open_paths(tmp_path / "m.pt") as checkpoint:
            read = [tensor for _, tensor in checkpoint.read([e.name for e in checkpoint.entries]) if tensor.ndim == 4]
            expected = [tensor for tensor in network.state_dict().values() if tensor.ndim == 4]
            assert len(read) == len(expected) == 2
            assert all(any(torch.equal(mine, theirs) for theirs in expected) for mine in read)


class TestOddTensors:
    def test_each_costs_itself(self, tmp_path: Path) -> None:
        quantised = torch.quantize_per_channel(
            torch.randn(4, 3, 3, 3), torch.ones(4).double(), torch.zeros(4), 0, torch.qint8
        )
        tree = {
            "a.weight": torch.randn(4, 3, 3, 3),
            "nested": torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(3, 3)]),
            "conjugate": torch.randn(2, dtype=torch.complex64).conj(),
            "channels.weight": quantised,
            "whole.weight": torch.quantize_per_tensor(torch.randn(4, 3, 3, 3), 0.1, 3, torch.quint8),
        }
        with open_paths(save(tree, tmp_path / "m.pth")) as checkpoint:
            assert [(e.name, e.dtype) for e in checkpoint.entries] == [
                ("a.weight", "float32"),
                ("channels.weight", "qint8"),
                ("whole.weight", "quint8"),
            ]
            assert "left out 'nested': a nested tensor" in checkpoint.notes
            assert "left out 'conjugate': a lazily conjugated or negated tensor" in checkpoint.notes
            for name, tensor in checkpoint.read(["channels.weight", "whole.weight"]):
                assert torch.equal(tensor.dequantize(), tree[name].dequantize())

    @pytest.mark.parametrize("kind", [*STORAGE_DTYPES])
    def test_no_element_type_crashes_the_process(self, tmp_path: Path, kind: str) -> None:
        """torch.frombuffer does, asked for a quantised type."""
        path = zipped(tmp_path / "m.pth", whole(entries(x=tensor(size=(3,), elements=3, kind=kind))))
        rewrite(path, {"m/data/0": bytes(64)})
        with open_paths(path) as checkpoint:
            for _, read in checkpoint.read([entry.name for entry in checkpoint.entries]):
                assert (tuple(read.shape), int(read.count_nonzero())) == ((3,), 0)
            assert bool(checkpoint.entries) is ("x2" not in kind and "x4" not in kind)

    @pytest.mark.parametrize(
        "parameters",
        [
            named("torch", "per_channel_affine") + tensor(size=(3,)) + tensor(size=(3,)) + number(99),
            named("torch", "per_channel_affine") + tensor(size=(3,)) + tensor(size=(3,)) + number(-1),
            named("torch", "per_channel_affine") + tensor(size=(2,)) + tensor(size=(3,)) + number(0),
            named("torch", "per_channel_affine") + tensor(size=(3,)) + number(3) + number(0),
            named("torch", "per_tensor_affine") + number(1) + number(2**70),
            named("torch", "per_tensor_affine") + tensor(size=(3,)) + tensor(size=(3,)),
        ],
    )
    def test_scales_that_fit_no_channel_are_never_given_to_torch(self, tmp_path: Path, parameters: bytes) -> None:
        storage = b"(" + text("storage") + named("torch", "QInt8Storage") + text("0") + text("cpu") + number(9) + b"tQ"
        shape = b"(" + number(3) + number(3) + b"t(" + number(3) + number(1) + b"t("
        value = (
            named("torch._utils", "_rebuild_qtensor") + b"(" + storage + number(0) + shape + parameters + b"t\x89NtR"
        )
        with open_paths(zipped(tmp_path / "m.pth", whole(entries(x=value, y=tensor())))) as checkpoint:
            assert [entry.name for entry in checkpoint.entries] == ["y"]
            assert "left out 'x': a tensor quantised in a way that is not known" in checkpoint.notes

    def test_expanded_tensors_are_read_until_they_are_a_bomb(self, tmp_path: Path) -> None:
        tree = {
            "conv.weight": torch.randn(4, 3, 3, 3),
            "shared.weight": torch.randn(1, 1, 3, 3).expand(64, 64, 3, 3),
            "bomb.weight": torch.randn(1, 1, 3, 3).expand(2**12, 2**12, 3, 3),
        }
        with open_paths(save(tree, tmp_path / "m.pth")) as checkpoint:
            assert [e.name for e in checkpoint.entries] == ["conv.weight", "shared.weight"]
            assert all(torch.equal(tensor, tree[name]) for name, tensor in checkpoint.read(["shared.weight"]))
            (note,) = checkpoint.notes
            assert note.startswith("left out 'bomb.weight'")

    def test_a_distributed_tensor_is_read_where_it_is_whole(self, tmp_path: Path) -> None:
        shape, placed = (4, 3, 3, 3), torch.randn(2, 3, 3, 3)
        whole, part = ShardOfATensor(shape, torch.randn(shape)), ShardOfATensor(shape, placed)
        with open_paths(save({"a.weight": whole, "b.weight": part}, tmp_path / "m.pt")) as checkpoint:
            assert [(e.name, e.shape) for e in checkpoint.entries] == [("a.weight", shape)]
            (note,) = [note for note in checkpoint.notes if "b.weight" in note]
            assert "the shard [2, 3, 3, 3] of a DTensor [4, 3, 3, 3]: save its full_tensor() instead" in note

    def test_files_of_a_machine_of_the_other_byte_order(self, tmp_path: Path) -> None:
        path = save({"conv.weight": torch.arange(9.0).reshape(1, 1, 3, 3)}, tmp_path / "m.pth")
        rewrite(path, {"m/byteorder": b"big", "m/data/0": np.arange(9, dtype=">f4").tobytes()})
        with open_paths(path) as checkpoint:
            ((_, tensor),) = checkpoint.read(["conv.weight"])
            assert tensor.flatten().tolist() == list(range(9))


def pickled_view(storage_elements: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """data.pkl of one float tensor, protocol 2, with claims of our choice."""

    def number(n: int) -> bytes:
        return (
            b"\x8a" + bytes([(n.bit_length() + 8) // 8]) + n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
        )

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(storage_elements)
    storage += b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(0) + numbers(size) + numbers(stride)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text("conv.weight") + tensor + b"s."


class TestSizes:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return save({"conv.weight": torch.arange(9.0).reshape(1, 1, 3, 3)}, tmp_path / "m.pth")

    def test_the_forger_can_forge_a_good_one(self, path: Path) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(9, (1, 1, 3, 3), (9, 9, 3, 1))})
        with open_paths(path) as checkpoint:
            ((_, tensor),) = checkpoint.read(["conv.weight"])
            assert tensor.flatten().tolist() == list(range(9))

    @pytest.mark.parametrize(
        ("storage", "size", "stride", "words"),
        [
            (9, (64, 64, 3, 3), (576, 9, 3, 1), "larger than its storage"),
            (9, (2**40, 1, 3, 3), (9, 9, 3, 1), "larger than its storage"),
            (10, (1, 1, 3, 3), (9, 9, 3, 1), "storage 0 is shorter than the pickle says"),
            (2**50, (1, 1, 3, 3), (9, 9, 3, 1), "storage 0 is shorter than the pickle says"),
            (9, (1, 1, -3, 3), (9, 9, 3, 1), "a tensor with size"),
            (9, (1,) * 65, (1,) * 65, "a tensor with size"),
        ],
    )
    def test_claims_that_cannot_be(
        self, path: Path, storage: int, size: tuple[int, ...], stride: tuple[int, ...], words: str
    ) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(storage, size, stride)})
        refused(path, UNREADABLE, words)

    def test_a_missing_record(self, path: Path) -> None:
        rewrite(path, {"m/data.pkl": pickled_view(9, (9,), (1,)).replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x007")})
        refused(path, UNREADABLE, "storage 7 is missing")

    def test_packed_again_by_any_zip_program(self, path: Path, tmp_path: Path) -> None:
        tree = {"state_dict": {"conv.weight": torch.randn(64, 16, 3, 3)}, "epoch": 3}
        save(tree, path)
        rewrite(path, {}, compression=zipfile.ZIP_DEFLATED)
        with open_paths(path) as checkpoint:
            ((_, tensor),) = checkpoint.read(["conv.weight"])
            assert torch.equal(tensor, tree["state_dict"]["conv.weight"])
        with zipfile.ZipFile(path) as archive:
            members = {f"folder/best_model/{name.partition('/')[2]}": archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / "again.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        with open_paths(tmp_path / "again.zip") as checkpoint:
            assert [e.name for e in checkpoint.entries] == ["conv.weight"]
        rewrite(path, {}, compression=zipfile.ZIP_BZIP2)
        refused(path, UNREADABLE, "expected stored or deflated members", "unpack the archive, and pack it again")

    def test_a_packed_member_that_is_damaged(self, path: Path) -> None:
        save({"conv.weight": torch.zeros(64, 16, 3, 3)}, path)
        rewrite(path, {"m/data/0": torch.randn(64, 16, 3, 3).numpy().tobytes()}, compression=zipfile.ZIP_DEFLATED)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        with open_paths(path) as checkpoint, pytest.raises(UnextractableError, match="zip member 'm/data/0'") as caught:
            list(checkpoint.read(["conv.weight"]))
        assert caught.value.reason is UNREADABLE

    def test_a_zip_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.pth"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("m/data.pkl", pickled_view(9, (9,), (1,)))
            archive.writestr("m/data/0", bytes(50_000_000))
        assert path.stat().st_size < 100_000
        refused(path, UNREADABLE, "zip bomb", "50000")

    @pytest.mark.parametrize("keep", [0.97, 0.7, 0.3, 0.05])
    @KINDS
    def test_truncated(self, tmp_path: Path, zipped: bool, keep: float) -> None:
        path = save({"a.weight": torch.randn(30, 30), "b.weight": torch.randn(50)}, tmp_path / "m.pth", zipped)
        content = path.read_bytes()
        path.write_bytes(content[: int(keep * len(content))])
        refused(path, UNREADABLE, "truncated")

    def test_a_legacy_storage_of_another_length(self, tmp_path: Path) -> None:
        path = save({"a.weight": torch.zeros(16)}, tmp_path / "m.pth", zipped=False)
        content = bytearray(path.read_bytes())
        assert content[-72:-64] == (16).to_bytes(8, "little")
        content[-72:-64] = (2**40).to_bytes(8, "little")
        path.write_bytes(content)
        refused(path, UNREADABLE, "expected 16 elements", f"found {2**40} elements")

    def test_two_members_of_one_name(self, path: Path) -> None:
        with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
            archive.writestr("m/data.pkl", b"\x80\x02}.")
        refused(path, UNREADABLE, "two members of one name")


@KINDS
def test_zero_size_and_scalar_tensors(tmp_path: Path, zipped: bool) -> None:
    tree = {"z.weight": torch.ones(0, 3, 3, 3), "n": torch.tensor(7), "a.weight": torch.ones(2), "y": torch.ones(0)}
    with open_paths(save(tree, tmp_path / "m.pth", zipped)) as checkpoint:
        assert [e.shape for e in checkpoint.entries] == [(0, 3, 3, 3), (), (2,), (0,)]
        assert [t.numel() for _, t in checkpoint.read(["y", "n", "a.weight"])] == [0, 1, 2]
