"""A teacher with a tokenizer of its own, texts, and a trimmed vocabulary."""

import io
import json
import random
import shutil
from pathlib import Path

import pytest
import sentencepiece
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from distil.tokenization.vocabulary import (
    build_vocabulary,
)
from tests.support.vocabulary import HELDOUT, LINES, WORDS, lines_of, vocabulary_config


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """language -> a file of sentences with few frequent words and many rare compounds."""
    folder, rng = tmp_path_factory.mktemp("raw"), random.Random(1)
    for language, lines in LINES.items():
        words = WORDS[language].split()
        weights = [1 / rank for rank in range(1, len(words) + 1)]
        words += [one + other for one, other in zip(rng.choices(words, k=60), rng.choices(words, k=60), strict=True)]
        weights += [0.01] * 60
        sentences = [" ".join(rng.choices(words, weights, k=rng.randint(4, 9))) for _ in range(lines)]
        sentences[3:7] = [f"{sentence}, {number}." for number, sentence in enumerate(sentences[3:7])]
        sentences[-1] += " qẑ"  # characters that occur once
        (folder / f"{language}.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return {language: folder / f"{language}.txt" for language in LINES}


@pytest.fixture(scope="module")
def teacher(texts, tmp_path_factory):
    """A folder with a small tokenizer in XLM-R's layout."""
    folder, model = tmp_path_factory.mktemp("teacher"), io.BytesIO()
    lines = [line for path in texts.values() for line in lines_of(path)] + HELDOUT
    lines += ["ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefghijklmnopqrstuvwxyz 0123456789", "好 大 地"]  # 好: not in the texts
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="unigram", vocab_size=600, hard_vocab_limit=False,
        character_coverage=1.0, normalization_rule_name="nmt_nfkc", num_threads=1, minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    proto = ModelProto.FromString(model.getvalue())
    head = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")]
    vocab = head + [(piece.piece, piece.score) for piece in proto.pieces[3:]] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    mask = {str(len(vocab) - 1): {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False,
                                  "single_word": False, "special": True}}  # fmt: skip
    config = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, "added_tokens_decoder": mask}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def trimmed(texts, teacher, tmp_path_factory):
    """models/tokenizer at coverage 0.8."""
    out = tmp_path_factory.mktemp("models") / "tokenizer"
    build_vocabulary(texts, teacher, vocabulary_config("coverage", 0.8), out)
    return out


@pytest.fixture
def broken(teacher, tmp_path):
    """A copy of the teacher to damage."""
    return Path(shutil.copytree(teacher, tmp_path / "broken"))
