"""The last layer as a mean over the text: the very numbers, and what fine-tuning makes of a useless `<s>`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from distil.core.files import read_json
from distil.finetuning.classifier import Classifier
from distil.finetuning.encoding import Encoded
from distil.finetuning.mean_pooling import HEAD_DEVIATION, MEAN_WEIGHT, init_mean_pooling, uniform_attention
from distil.finetuning.row_predictions import predict_test
from tests.support import lab


def small_model() -> XLMRobertaForSequenceClassification:
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=40, hidden_size=12, num_hidden_layers=3, num_attention_heads=3, intermediate_size=20,
        max_position_embeddings=20, initializer_range=0.3, num_labels=2,
    )  # fmt: skip
    return XLMRobertaForSequenceClassification(config).eval()


def test_the_first_state_is_that_of_the_layer_below_and_ten_means_normalised_twice() -> None:
    model = small_model()
    uniform_attention(model)
    ids = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    states = model.roberta(ids, attention_mask=(ids != 1).long(), output_hidden_states=True).hidden_states
    below, last, layer = states[-2], states[-1], model.roberta.encoder.layer[-1]
    for row, length in ((0, 5), (1, 3)):  # of the second row padding has no part
        mean = below[row, :length].mean(dim=0)
        first = layer.attention.output.LayerNorm(below[row, 0] + MEAN_WEIGHT * mean)
        assert torch.allclose(last[row, 0], layer.output.LayerNorm(first), atol=1e-6)


def test_all_other_layers_and_the_head_stay() -> None:
    model, kept = small_model(), small_model().state_dict()
    uniform_attention(model)
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, kept[name])}
    part = "roberta.encoder.layer.2."
    assert changed and all(name.startswith(part) and "LayerNorm" not in name for name in changed)
    assert not any(".key." in name or "intermediate" in name for name in changed)


@pytest.fixture
def here(tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab").mkdir()
    monkeypatch.chdir(lab.make_lab(tmp_path / "lab", world))
    return tmp_path / "lab"


def test_what_the_head_sees_is_centred_and_differs_between_texts() -> None:
    model, rng = small_model(), np.random.default_rng(0)
    ids = [[0, *rng.integers(5, 40, size=int(rng.integers(2, 12))).tolist(), 2] for _ in range(300)]
    count = len(ids)
    rows = Encoded(ids, np.arange(count + 1), np.zeros(count, np.int64), np.zeros(count, np.int64),
                   np.zeros(count, np.int64))  # fmt: skip
    init_mean_pooling(Classifier(model), rows, 1, seed=3)
    with torch.inference_mode():
        states = torch.cat([model.roberta(torch.tensor([row])).last_hidden_state[:, 0] for row in ids])
        seen = model.classifier.dense(states)
    assert torch.allclose(seen.mean(dim=0), torch.zeros(12), atol=1e-4)
    assert torch.allclose(seen.std(dim=0, correction=0), torch.full((12,), HEAD_DEVIATION), atol=1e-4)


@torch.inference_mode()
def test_texts_differ_where_the_first_state_was_the_same_for_all() -> None:
    model = small_model()
    with torch.no_grad():  # nothing goes from one token to another
        for layer in model.roberta.encoder.layer:
            layer.attention.output.dense.weight.mul_(1e-6)
    ids = torch.cat([torch.zeros(8, 1, dtype=torch.long), torch.randint(5, 40, (8, 6))], dim=1)
    assert float(model.roberta(ids).last_hidden_state[:, 0].std(dim=0).mean()) < 1e-4
    uniform_attention(model)
    assert float(model.roberta(ids).last_hidden_state[:, 0].std(dim=0).mean()) > 0.1


def test_a_task_is_learned_from_it_and_transformers_loads_the_classifier(here: Path) -> None:
    tuned = lab.tuned("teacher", "words", config=lab.CONFIG.model_copy(update={"start": "pooled"}))
    assert read_json(tuned.folder / "manifest.json", "finetune_teacher@words")["recipe"]["start"] == "pooled"
    found, _ = predict_test(tuned, lab.task_of("words"))
    assert min(np.mean(each.predicted[1] == each.gold) for each in found.values()) > 0.8
    model = AutoModelForSequenceClassification.from_pretrained(tuned.folder / "seed-1")
    assert type(model) is XLMRobertaForSequenceClassification  # no code of ours is needed


def test_a_tagger_starts_plainly(here: Path) -> None:
    weights = []
    for start in ("plain", "pooled"):
        lab.tuned("teacher", "names", out=start, config=lab.CONFIG.model_copy(update={"start": start}))
        weights.append(Path(start, "teacher/names/seed-1/model.safetensors").read_bytes())
    assert weights[0] == weights[1]
