"""Small causal language models in Hugging Face folders, random or trained on lines of a prompt."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from distil.evaluation.decoders import DecoderConfig

PROMPT = "text: {text}\nlabel: {label}"
BLOCK: dict[str, Any] = {
    "source": "folder", "path": "decoder", "id": "org/decoder", "revision": "main", "precision": "float32",
    "batch_tokens": 512, "max_text_tokens": 128, "shots": 0, "calibrate": True, "prompts": {"words": PROMPT},
    "names": {},
}  # fmt: skip


def config(**changes: Any) -> DecoderConfig:
    return DecoderConfig.model_validate(BLOCK | changes)


def write_decoder(folder: Path, lines: Sequence[str], pieces: int = 400, positions: int = 256) -> LlamaForCausalLM:
    """A random Llama of two layers with a tokenizer of the lines, which puts <s> in front and </s> behind a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    ))  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=positions, bos_token_id=0,
        eos_token_id=1,
    ))  # fmt: skip
    model.save_pretrained(folder)
    return model.eval()


def train_decoder(folder: Path, lines: Sequence[tuple[str, str]], steps: int, batch: int = 32) -> None:
    """Train the model of a folder to continue each context with its answer."""
    model = LlamaForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        chosen = [lines[number] for number in torch.randint(len(lines), (batch,), generator=rng)]
        before = [[0, *tokenizer(context, add_special_tokens=False).input_ids] for context, _ in chosen]
        whole = [[0, *tokenizer(context + answer, add_special_tokens=False).input_ids] for context, answer in chosen]
        width = max(map(len, whole))
        ids = torch.tensor([row + [1] * (width - len(row)) for row in whole])
        gold = torch.tensor([
            [-100] * len(start) + row[len(start) :] + [-100] * (width - len(row))
            for start, row in zip(before, whole, strict=True)
        ])  # fmt: skip
        loss = model(input_ids=ids, labels=gold).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
