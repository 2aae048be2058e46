"""Read and check the JSON files of earlier stages."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from distil.core.errors import UserError
from distil.core.files import read_json


class StageFile(BaseModel):
    """Part of a file that an earlier stage wrote; keys that no report needs are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


F = TypeVar("F", bound=StageFile)


def read_stage_file(
    path: Path, kind: type[F], stage: str, languages: list[str] | None = None, key: str = "languages"
) -> F:
    """A checked file. With `languages`, its mapping `key` must name each of them."""
    again = f"run `dvc repro --force {stage}`"
    try:
        value = kind.model_validate(read_json(path, stage))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the whole file"
        raise UserError(f"{path}: {where}: {fault['msg']}; {again}") from None
    for code in languages or []:
        if code not in getattr(value, key):
            raise UserError(f"{path}: {key} lacks {code!r}, which params.yaml lists; {again}")
    return value
