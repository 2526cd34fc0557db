from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from rag_rerankers import ModelLoadError
from rag_rerankers.scorers.projection import Dense, project, read_projection

CPU = torch.device("cpu")
STATES = torch.tensor([[3.0, 4.0], [1.0, -2.0]])
WEIGHT = torch.tensor([[1.0, 2.0], [0.0, 1.0], [-1.0, 0.0]])


@pytest.fixture
def copy(make, tmp_path):
    def copied(maker: str, **settings) -> Path:
        return Path(shutil.copytree(make(maker, **settings), tmp_path / "model"))

    return copied


# --- the maths ---


def test_vectors_are_scaled_to_unit_length_only_where_wanted():
    got = project(STATES, [], normalize=True)
    np.testing.assert_allclose(got, [[0.6, 0.8], [5**-0.5, -2 * 5**-0.5]], rtol=1e-6)
    assert project(STATES, [], normalize=False).tolist() == STATES.tolist()


def test_a_layer_worked_by_hand():
    assert Dense(WEIGHT)(STATES).tolist() == [[11, 4, -3], [-3, -2, -1]]
    bias = torch.tensor([0.5, 0.0, 1.0])
    assert Dense(WEIGHT, bias)(STATES).tolist() == [[11.5, 4, -2], [-2.5, -2, 0]]


def test_a_skip_adds_the_input_scaled_to_fit_if_it_must_be():
    square = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert Dense(square, skip=True)(STATES).tolist() == [[7, 7], [-1, -1]]
    residual = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    found = Dense(WEIGHT, skip=True, residual=residual)(STATES)
    assert found.tolist() == [[14, 8, -3], [-2, -4, -1]]


@pytest.mark.parametrize(
    ("name", "at_minus_one", "at_two"),
    [
        ("Identity", -1.0, 2.0),
        ("Tanh", -0.7615942, 0.9640276),
        ("ReLU", 0.0, 2.0),
        ("GELU", -0.1586553, 1.9544997),
        ("SiLU", -0.2689414, 1.7615942),
        ("Sigmoid", 0.2689414, 0.8807971),
    ],
)
def test_activations_at_known_points(name, at_minus_one, at_two):
    found = Dense(torch.ones(1, 1), activation=name)(torch.tensor([[-1.0], [2.0]]))
    assert found.flatten().tolist() == pytest.approx([at_minus_one, at_two], abs=1e-6)


def test_layers_follow_each_other_in_float32():
    layers = [Dense(WEIGHT), Dense(torch.tensor([[1.0, 0.0, 1.0]]))]
    found = project(STATES.bfloat16(), layers, normalize=False)
    assert found.dtype == torch.float32
    assert found.tolist() == [[8.0], [-4.0]]


# --- the files ---


def test_a_plain_encoder_has_no_layers(make):
    assert read_projection("plain", make("bert_encoder"), 32, CPU) == ()


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_stanfords_layer_is_linear_weight_without_bias(make, weights):
    (layer,) = read_projection("stanford", make("stanford_colbert", weights=weights), 32, CPU)
    expected = load_file(make("stanford_colbert") / "model.safetensors")["linear.weight"]
    assert torch.equal(layer.weight, expected)
    assert layer.bias is None
    assert layer.activation == "Identity"
    assert not layer.skip


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_module_layers_are_read_in_order_with_all_they_have(make, weights):
    tanh = "torch.nn.modules.activation.Tanh"
    dense = [
        {"out_features": 24, "bias": True, "use_residual": True, "activation_function": tanh},
        {"out_features": 24, "use_residual": True},
        {"out_features": 8},
    ]
    folder = make("pylate_colbert", dense=dense, weights=weights)
    first, second, third = read_projection("pylate", folder, 32, CPU)
    assert first.weight.shape == (24, 32)
    assert first.bias.shape == (24,)
    assert first.residual.shape == (24, 32)
    assert (first.activation, first.skip) == ("Tanh", True)
    assert (second.residual, second.skip, second.activation) == (None, True, "Identity")
    assert (third.weight.shape, third.skip) == ((8, 24), False)


def test_a_stanford_checkpoint_without_its_layer_is_refused(copy):
    folder = copy("stanford_colbert")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["linear.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lack linear\.weight") as caught:
        read_projection("stanford", folder, 32, CPU)
    assert str(folder) in str(caught.value)


def test_a_module_without_its_weight_is_refused(copy):
    folder = copy("pylate_colbert")
    save_file({"other": torch.zeros(1)}, folder / "1_Dense" / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"1_Dense lack linear\.weight"):
        read_projection("pylate", folder, 32, CPU)


@pytest.mark.parametrize(
    ("layout", "maker"), [("stanford", "stanford_colbert"), ("pylate", "pylate_colbert")]
)
def test_a_layer_that_does_not_fit_the_encoder_is_refused_with_both_sizes(make, layout, maker):
    with pytest.raises(ModelLoadError, match="takes 32 numbers, but gets 48"):
        read_projection(layout, make(maker), 48, CPU)


def test_an_unknown_activation_is_refused_with_those_that_are_known(copy):
    folder = copy("pylate_colbert")
    path = folder / "1_Dense" / "config.json"
    path.write_text(json.dumps({"activation_function": "torch.nn.Mystery"}))
    with pytest.raises(ModelLoadError, match="'Mystery'") as caught:
        read_projection("pylate", folder, 32, CPU)
    assert "GELU" in str(caught.value)


def test_an_activation_that_is_not_named_is_tanh_as_in_sentence_transformers(copy):
    folder = copy("pylate_colbert")
    (folder / "1_Dense" / "config.json").write_text("{}")
    (layer,) = read_projection("pylate", folder, 32, CPU)
    assert layer.activation == "Tanh"
