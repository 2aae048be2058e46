"""The README.md in models/student: what the model is, as far as is known once it is trained, before it is scored.

Written by the stage distil, so an edit here trains the student again; the full card, with scores, is the report's
(distil/report/model_card.py), which uses the same parts.
"""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCardData

from distil.core.languages import language, language_tag

EXPERTS_SNIPPET = """import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

path = "models/student"  # or the id under which you published it
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForMaskedLM.from_pretrained(path)
text = tokenizer(f"{tokenizer.mask_token} .", return_tensors="pt")
language = 0  # place of its code in model.config.languages; -1 for one of the others in model.config.student_languages
logits = model(**text, lang_ids=torch.tensor([language])).logits
print(tokenizer.decode(logits[0, 1].argmax()))
"""

SNIPPET = """from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

path = "models/student"  # or the id under which you published it
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForMaskedLM.from_pretrained(path)
fill = pipeline("fill-mask", model=model, tokenizer=tokenizer)
for guess in fill(f"{tokenizer.mask_token} .", top_k=3):
    print(f"{guess['score']:.3f}  {guess['token_str']}")
"""


_ORDER = ["language", "library_name", "pipeline_tag", "tags", "base_model", "datasets", "license", "metrics"]


def card_data(languages: list[str], teacher: Mapping[str, Any], **scored: Any) -> ModelCardData:
    """The metadata that the Hub reads.

    Args:
        languages: codes.
        teacher: `source` and `id` of its manifest; a base model is named when it is one on the Hub.
        scored: more fields of ModelCardData, for a student that was scored.
    """
    return ModelCardData(
        language=[language_tag(code) for code in languages],
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["knowledge-distillation", "masked-language-modeling", "xlm-roberta"],
        base_model=teacher["id"] if teacher["source"] == "hub" else None,
        **scored,
    )


def front_matter(data: ModelCardData) -> str:
    """Metadata between lines of `---`, the start of a card."""
    return f"---\n{data.to_yaml(original_order=_ORDER)}\n---\n"


def snippet(experts: bool) -> str:
    """How to load the student, with language experts or without."""
    return EXPERTS_SNIPPET if experts else SNIPPET


def limits(languages: list[str]) -> str:
    """What it is not made for, in a list."""
    named = ", ".join(language(code).name for code in languages)
    return f"""- Made for {named} and measured in no other language. Variants, dialects and spellings
  that are rare in its text are served worse, and no figure here shows by how much.
- It learned from its teacher, so it repeats the teacher's stereotypes and errors; a smaller model often loses rare
  words, names and minority groups first. Nothing was done against that.
- Nobody has examined it for fairness, toxicity or private data in its text. Do not decide about people with it.
- It guesses masked pieces. It holds no reliable facts and is not made to generate text.
"""


def short_card(languages: list[str], teacher: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """The card without scores.

    Args:
        languages: codes.
        teacher: models/teacher/manifest.json.
        summary: metrics/distil/summary.json.
    """
    student, of = summary["student"], summary["teacher"]["parameters"]
    return f"""{front_matter(card_data(languages, teacher))}
# A student of {teacher["id"]}

{student["parameters"]:,} parameters ({100 * student["parameters"] / of:.1f} % of the teacher's), \
{student["num_hidden_layers"]} layers of {student["hidden_size"]}, distilled from the teacher's outputs over \
{summary["tokens"]:,} tokens. It is not scored here: metrics/model_card.md of the repository that trained it is this \
card with its scores, licence and recipe, and takes its place when the model is published.

```python
{snippet("experts" in summary)}```

## Limits and biases

{limits(languages)}"""
