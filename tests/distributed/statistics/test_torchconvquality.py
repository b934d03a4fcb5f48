"""Where torchconvquality and DESIGN §4 agree and differ, case by case."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from distributed.statistics import layer_statistics
from tests.distributed.statistics import reference


def peer_quality(weight: np.ndarray) -> Mapping[str, float]:
    peer = pytest.importorskip("torchconvquality", exc_type=ImportError)  # 0.3.0 needs distutils: Python < 3.12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # T(n) of no filter
        found: Mapping[str, float] = peer.measure_conv_weight_quality(torch.from_numpy(weight))
    return found


def test_the_peer_agrees_on_an_all_zero_layer() -> None:
    zero = np.zeros((4, 4, 3, 3), np.float32)
    assert peer_quality(zero)["sparsity"] == layer_statistics(torch.from_numpy(zero)).sparsity == 1


def test_where_the_peer_differs() -> None:
    """torchconvquality's known differences, pinned: each is a case DESIGN §4 decides otherwise."""
    one = np.random.default_rng(0).normal(size=(1, 8, 3, 3)).astype(np.float32)
    assert not math.isfinite(peer_quality(one)["orthogonality"])  # §4: null for one output channel
    single = one[:, :1]
    assert math.isnan(peer_quality(single)["variance_entropy"])  # §4: 0 when all variance is 0
    pair = np.random.default_rng(1).normal(size=(2, 1, 3, 3)).astype(np.float32)
    assert abs(peer_quality(pair)["variance_entropy_norm"]) < 1e-3  # T(2) < 0: null for us
    dead = np.random.default_rng(2).normal(size=(20, 1, 3, 3)).astype(np.float32)
    dead[..., 2] = 0  # three positions that no filter uses: singular values of exactly 0, and 0 · log 0
    assert math.isnan(peer_quality(dead)["variance_entropy"])
    statistics = [layer_statistics(torch.from_numpy(weight)) for weight in (one, single, pair, dead)]
    assert statistics[0].orthogonality is None
    assert statistics[1].variance_entropy == 0
    assert statistics[2].variance_entropy_normalized is None
    assert statistics[3].variance_entropy == pytest.approx(reference.entropy(dead.reshape(-1, 9)), abs=1e-9)
    assert 0.5 < statistics[3].variance_entropy <= math.log10(6)


def test_the_peer_leaves_out_subclasses() -> None:
    """Its walk over a model takes ``Conv2d`` alone; layers here come from the checkpoint, whatever made them."""
    peer = pytest.importorskip("torchconvquality", exc_type=ImportError)

    class Scaled(torch.nn.Conv2d):
        """As weight standardisation and the like are written."""

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), Scaled(4, 4, 3))
    assert list(peer.measure_quality(model)) == ["0"]
