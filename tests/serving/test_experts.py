"""A student with language experts in ONNX: one graph, the same bytes for old languages, a gate one can overrule."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from distil.core.errors import UserError
from distil.modeling.experts import LanguageGate, add_experts
from distil.serving.onnx_export import export
from distil.serving.predictor import Predictor
from distil.serving.runtime import OnnxRuntime
from distil.serving.shrink import Request, shrink
from distil.serving.torch_runtime import TorchRuntime
from distil.web.folder import write_web_folder
from tests.support import exported, toy

LOADERS: dict[str, Any] = {
    "text_classification": AutoModelForSequenceClassification,
    "masked_lm": AutoModelForMaskedLM,
}
SWA, YOR = range(2)
DATA_DEPENDENT = {"NonZero", "ScatterND", "If", "Loop", "Compress"}


def add_expert(folder: Path, kind: str) -> None:
    """Put an expert of random weights for Yoruba, and a gate, on the model of a folder."""
    torch.manual_seed(3)
    plain = LOADERS[kind].from_pretrained(folder)
    trunk = exported.CLASSES["masked_lm"](plain.config)
    trunk.roberta.load_state_dict(plain.roberta.state_dict())
    grown = add_experts(trunk, ["yor"], toy.LANGUAGES, 8)
    with torch.no_grad():
        for layer in grown.roberta.encoder.layer:
            for parameter in layer.output.adapter_modules.parameters():
                parameter.normal_(std=0.5)
    names = {"id2label": plain.config.id2label, "label2id": plain.config.label2id}
    config = grown.config if kind == "masked_lm" else type(grown.config)(**grown.config.to_dict() | names)
    model = LOADERS[kind].from_config(config)
    model.load_state_dict({**plain.state_dict(), **grown.roberta.state_dict(prefix="roberta.")})
    model.save_pretrained(folder)
    words = model.get_input_embeddings().weight.detach()
    weight = torch.stack([words.mean(dim=0), words[7] - words[9]])
    LanguageGate(weight.numpy(), np.zeros(2, np.float32)).save(folder)


@pytest.fixture(scope="module", params=list(LOADERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Exports `before` of a plain model and `after` of the same with an expert, and the kind."""
    root, kind = tmp_path_factory.mktemp("experts"), request.param
    for name in ("before", "after"):
        source = exported.source(root / name, kind)
        exported.make_model(source.folder, kind)
        if name == "after":
            add_expert(source.folder, kind)
        export(source, exported.CONFIG, root / name / "onnx")
    return root, kind


def rows() -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(0).integers(5, 140, (6, 11))
    mask = np.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = 1, 0
    return ids, mask


def runtime(made: tuple[Path, str], precision: str, name: str = "after", language: int | None = None) -> OnnxRuntime:
    return OnnxRuntime(made[0] / name / "onnx" / precision / "model.onnx", 1, language)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_old_language_is_answered_with_the_same_bytes(made: tuple[Path, str], precision: str) -> None:
    before = runtime(made, precision, "before").logits(*rows())
    after = runtime(made, precision, language=SWA).logits(*rows())
    assert before.tobytes() == after.tobytes()
    assert np.abs(before - runtime(made, precision, language=YOR).logits(*rows())).max() > 0.1


def test_the_graph_answers_as_transformers_does(made: tuple[Path, str]) -> None:
    model = LOADERS[made[1]].from_pretrained(exported.source(made[0] / "after", made[1]).folder)
    ids, mask = map(torch.from_numpy, rows())
    for number in (SWA, YOR):
        with torch.no_grad():
            expected = model(ids, lang_ids=torch.full((len(ids),), number - 1), attention_mask=mask).logits.numpy()
        real = rows()[1].astype(bool) if expected.ndim == 3 else np.full(len(ids), True)
        found = runtime(made, "fp32", language=number).logits(*rows())
        np.testing.assert_allclose(found[real], expected[real], atol=1e-4)


def test_torch_and_the_graph_agree_on_the_gate(made: tuple[Path, str]) -> None:
    folder = exported.source(made[0] / "after", made[1]).folder
    expected = TorchRuntime(folder, made[1]).logits(*rows())  # type: ignore[arg-type]
    found = runtime(made, "fp32").logits(*rows())
    real = rows()[1].astype(bool) if expected.ndim == 3 else np.full(len(found), True)
    np.testing.assert_allclose(found[real], expected[real], atol=1e-4)
    told = [TorchRuntime(folder, made[1], language=number).logits(*rows()) for number in (SWA, YOR)]  # type: ignore[arg-type]
    chosen = {next(number for number in (SWA, YOR) if np.allclose(expected[row], told[number][row], atol=1e-4))
              for row in range(len(expected))}  # fmt: skip
    assert chosen == {SWA, YOR}  # the gate tells the rows apart, each with the answer of its own expert


def test_the_graph_has_two_inputs_that_must_be_given_and_no_operator_that_depends_on_data(
    made: tuple[Path, str],
) -> None:
    for precision in ("fp32", "int8"):
        session = runtime(made, precision)._session
        assert {node.name for node in session.get_inputs()} == {"input_ids", "attention_mask"}
        assert [node.name for node in session.get_overridable_initializers()] == ["language"]
        graph = onnx.load(made[0] / "after/onnx" / precision / "model.onnx").graph
        assert not DATA_DEPENDENT & {node.op_type for node in graph.node}
        tables = [node for node in graph.node if node.op_type == "Gather" and node.input[1] == "input_ids"]
        assert len(tables) == len({node.input[0] for node in tables})


def test_the_language_can_be_given_and_an_unknown_one_is_refused(made: tuple[Path, str]) -> None:
    folder, text = made[0] / "after/onnx/int8", ["ọlọ́run àti <mask> ayé"]
    told = [Predictor(folder, 1, code).predict(text) for code in toy.LANGUAGES]
    assert told[0] != told[1] and Predictor(folder, 1).predict(text) in told
    with pytest.raises(UserError, match="--language: expected swa, yor, found twi; give a model that has it"):
        Predictor(folder, 1, "twi")


def test_a_graph_without_experts_in_the_folder_of_a_model_with_some_is_refused(made: tuple[Path, str]) -> None:
    with pytest.raises(UserError, match=r"expected a graph with language experts, which the model in this folder has"):
        runtime(made, "fp32", "before", language=SWA)


def test_a_file_for_phones_takes_the_language_too(made: tuple[Path, str], tmp_path: Path) -> None:
    if made[1] == "masked_lm":
        return
    shrink(Request(made[0] / "after/onnx/int8", tmp_path / "phone", [], tmp_path, True))
    expected = runtime(made, "int8", language=YOR).logits(*rows())
    np.testing.assert_allclose(OnnxRuntime(tmp_path / "phone/model.ort", 1, YOR).logits(*rows()), expected, atol=1e-3)


def test_transformers_js_has_no_experts_and_its_folder_is_refused(made: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found one with language experts, which transformers\.js does not have"):
        write_web_folder(made[0] / "after/onnx", tmp_path / "web")


def test_the_tokenizer_beside_the_model_is_the_trunks(made: tuple[Path, str], tmp_path: Path) -> None:
    before, after = (made[0] / name / "onnx/int8/tokenizer.json" for name in ("before", "after"))
    assert before.read_bytes() == after.read_bytes()
