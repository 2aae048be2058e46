"""config.json: the type of model first, then every value; one sentence each."""

import json
from pathlib import Path
from typing import Any

import pytest

from distil.core.errors import UserError
from distil.modeling.config import read_config

GOOD: dict[str, Any] = {
    "model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], "vocab_size": 250_002, "hidden_size": 1024,
    "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 514,
    "type_vocab_size": 1, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "layer_norm_eps": 1e-05,
    "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "initializer_range": 0.02,
    "position_embedding_type": "absolute", "torch_dtype": "float32", "transformers_version": "4.17.0.dev0",
    "use_cache": True, "output_past": True,
}  # fmt: skip  # as Davlan/afro-xlmr-large has it


def write(folder: Path, **values: Any) -> Path:
    config = {name: value for name, value in {**GOOD, **values}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_a_config_of_2022_is_read_as_it_is(tmp_path: Path) -> None:
    assert read_config(write(tmp_path), "advice") == GOOD


def test_whole_numbers_may_stand_for_a_dropout_and_tying_may_be_said(tmp_path: Path) -> None:
    values = {"hidden_dropout_prob": 0, "tie_word_embeddings": True, "is_decoder": False, "type_vocab_size": 2}
    assert read_config(write(tmp_path, **values), "advice") == {**GOOD, **values}


WHOLE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "max_position_embeddings")  # fmt: skip


@pytest.mark.parametrize("name", [*WHOLE, "type_vocab_size", "pad_token_id"])
@pytest.mark.parametrize(("value", "shown"), [("512", '"512"'), (512.0, "512.0"), (None, "null"), (True, "true"),
                                              (-1, "-1"), ([512], r"\[512\]")])  # fmt: skip
def test_what_is_no_whole_number_is_named_with_its_value(tmp_path: Path, name: str, value: Any, shown: str) -> None:
    with pytest.raises(UserError, match=rf"config\.json: {name}: expected a whole number, found {shown}; correct it"):
        read_config(write(tmp_path, **{name: value}), "advice")


@pytest.mark.parametrize("name", WHOLE)
def test_a_size_that_is_left_out_is_not_guessed(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        UserError, match=rf"config\.json: {name}: expected a whole number, found none; correct it there"
    ):
        read_config(write(tmp_path, **{name: ...}), "advice")


@pytest.mark.parametrize("name", ["layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob"])
@pytest.mark.parametrize("value", ["1e-5", None, True, 2, -0.1])
def test_what_is_no_number_below_one_is_named(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"config\.json: {name}: expected a number from 0 to 1, found "):
        read_config(write(tmp_path, **{name: value}), "advice")


@pytest.mark.parametrize(("values", "words"), [
    ({"is_decoder": True}, "is_decoder: expected false, found true: a decoder sees the words before a mask only"),
    ({"is_decoder": "false"}, 'is_decoder: expected true or false, found "false"'),
    ({"add_cross_attention": True}, "add_cross_attention: expected false, found true"),
    ({"tie_word_embeddings": None}, "tie_word_embeddings: expected true or false, found null"),
    ({"position_embedding_type": "relative_key"}, 'position_embedding_type: expected "absolute", found "relative_key"'),
    ({"quantization_config": {"load_in_8bit": True}}, "quantization_config: expected null, found {"),
    ({"num_attention_heads": 7}, "num_attention_heads: expected a divisor of hidden_size 1024, found 7"),
    ({"hidden_act": "nonsense"}, r'hidden_act: expected .*, found "nonsense"'),
    ({"hidden_act": None}, "hidden_act: expected .*, found null"),
    ({"bos_token_id": "0"}, r"not a model's config \(.*bos_token_id"),
])  # fmt: skip
def test_what_would_make_another_model_of_it_is_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        read_config(write(tmp_path, **values), "advice")
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}/config.json: ") and message.endswith("advice") and "\n" not in message


@pytest.mark.parametrize(("model_type", "shown"), [("bert", "bert"), ("t5", "t5"), (..., "null"), (7, "7"),
                                                   ("roberta", "roberta")])  # fmt: skip
def test_another_type_of_model_is_named_before_its_values_are_looked_at(
    tmp_path: Path, model_type: Any, shown: str
) -> None:
    with pytest.raises(
        UserError, match=rf"model_type: expected xlm-roberta, found {shown}; any XLM-R .*afro-xlmr-large"
    ):
        read_config(write(tmp_path, model_type=model_type, hidden_size="1024", vocab_size=...), "advice")


@pytest.mark.parametrize(("content", "words"), [
    (b"{", r"not a model's config \(Expecting"), (b"[1]", r"expected an object, found \[1\]"),
    (b'{"model_type": "\xff"}', "not a model's config .*utf-8"), (b"", "not a model's config"),
    (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "not a model's config .Unexpected UTF-8 BOM"),
])  # fmt: skip
def test_what_is_no_json_object_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_config(tmp_path, "advice")


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read_config(write(tmp_path, hidden_size="9" * 10_000), "advice")
    assert len(str(refused.value)) < 300 + len(str(tmp_path))


def test_no_config_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a model folder with config\.json, found none; advice"):
        read_config(tmp_path, "advice")
