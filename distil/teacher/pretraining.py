"""A small XLM-R teacher trained from nothing on raw text: for the sample, where no published model can be fetched."""

import io
from pathlib import Path

import sentencepiece
import torch
from pydantic import Field, model_validator
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]  # built at run time
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from distil.core.errors import UserError
from distil.core.params import Params
from distil.modeling.shape import ModelShape, build_masked_lm
from distil.modeling.tokenizer import SpecialTokenIds, read_as_text
from distil.teacher.masked_lm import MaskedLMSchedule, encode_lines, train_masked_lm

MAX_LENGTH, WARMUP = 128, 0.1
MASK_RATE = 0.25  # more than BERT's 0.15: text is read many times over, and each reading teaches more
RECIPE = "recipe.json"  # beside a teacher that a command of this project made: from what, and how
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


class PretrainConfig(Params):
    """Section `teacher.train:` of params.yaml."""

    vocabulary_size: int = Field(ge=200, le=250_002)
    hidden_size: int = Field(ge=8, le=1024)
    num_hidden_layers: int = Field(ge=1, le=24)
    num_attention_heads: int = Field(ge=1, le=16)
    intermediate_size: int = Field(ge=8, le=4096)
    steps: int = Field(ge=1)
    batch_tokens: int = Field(ge=256)
    learning_rate: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> "PretrainConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is no multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self


def pretrain(texts: list[Path], config: PretrainConfig, seed: int, out: Path) -> None:
    """Train a tokenizer and a masked language model and write both to `out`, a Hugging Face folder.

    Args:
        texts: one file a language, a text a line; drawn in proportion to their tokens.
        config: shape and optimisation.
        seed: decides first weights, masks and batches.
        out: an empty folder.

    Raises:
        UserError: a text is missing, or all are too little for the vocabulary asked for.
    """
    if missing := [text for text in texts if not text.is_file()]:
        raise UserError(f"{missing[0]}: no such file; run `dvc repro corpus`, or mend teacher.path in params.yaml")
    by_text = [text.read_text(encoding="utf-8").splitlines() for text in texts]
    together = [line for lines in by_text for line in lines]
    tokenizer = train_tokenizer([*together, *_whole_words(together)], config.vocabulary_size, out)
    special = SpecialTokenIds(bos=0, pad=1, eos=2, unk=3, mask=tokenizer.get_vocab_size() - 1)
    encoded = {text.name: encode_lines(lines, tokenizer, special, MAX_LENGTH)
               for text, lines in zip(texts, by_text, strict=True)}  # fmt: skip
    torch.manual_seed(seed)
    shape = ModelShape(
        config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size, dropout=0.0
    )
    model = build_masked_lm(shape, special, tokenizer.get_vocab_size(), MAX_LENGTH + 2)
    schedule = MaskedLMSchedule(config.steps, config.batch_tokens, config.learning_rate, WARMUP, MASK_RATE, 1.0)
    train_masked_lm(model, encoded, special, schedule, seed, "train the sample's teacher")
    model.save_pretrained(out)


def train_tokenizer(lines: list[str], pieces: int, out: Path) -> Tokenizer:
    """A Unigram tokenizer in XLM-R's layout, as sentencepiece.bpe.model, tokenizer.json and tokenizer_config.json.

    XLM-R's ids: <s> 0, <pad> 1, </s> 2, <unk> 3, then SentencePiece's pieces one above their own number, <mask> last.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=model, model_type="unigram", vocab_size=pieces - 2,
            character_coverage=1.0, normalization_rule_name="nmt_nfkc", num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("] ")[2]  # without the place in SentencePiece's code
        raise UserError(
            f"params.yaml: teacher.train.vocabulary_size: {pieces} pieces cannot be made from so little text "
            f"({reason}); lower it or give more text"
        ) from None
    (out / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    proto = ModelProto.FromString(model.getvalue())
    vocabulary = [(piece, 0.0) for piece in SPECIAL]
    vocabulary += [(piece.piece, piece.score) for piece in proto.pieces[3:]]
    vocabulary.append(("<mask>", 0.0))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always", True)]
    )
    tokenizer.decoder = decoders.Metaspace("▁", "always", True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.save_pretrained(out)
    return read_as_text(out / "tokenizer.json")


def _whole_words(lines: list[str]) -> list[str]:
    """Each word beside itself with marks behind it.

    SentencePiece tries only pieces that two different words share, so of a small vocabulary few words become one piece:
    2.0 pieces a word in the sample's text, 1.3 with these lines.
    """
    words = sorted({word.strip(".,!?") for line in lines for word in line.split()} - {""})
    return [f"{word} {word}. {word}, {word}!" for word in words]
