"""Reading files that others wrote: JSON, fields of the right type, paths inside their folder."""

import csv
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lynx_pose.errors import InputError

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=BaseModel)
Key = TypeVar("Key")
Value = TypeVar("Value")


def _number(value: Any) -> Any:
    """Refuse true and false, which Python takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("true or false where a number is expected")
    return value


Finite = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False, strict=False)]
Area = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False, ge=0)]
Box = tuple[Finite, Finite, Finite, Finite]
Size = Annotated[int, BeforeValidator(_number), Field(gt=0, le=1_000_000)]


class Fields(BaseModel):
    """The fields we use of a record in somebody's file; the others are left alone."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


def existing_folder(path: str | Path, option: str) -> Path:
    """Return the folder, or say which option names one that does not exist."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise InputError(f"{option}={path}: there is no such folder. Give the folder that holds the dataset")
    return folder


def read_annotation_file(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say what is wrong with the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file. Check data.root and the file names under it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: is not valid JSON (line {error.lineno}: {error.msg})") from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: is not valid JSON that anybody meant ({error})") from None
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: holds a JSON {type(content).__name__}, not an object with 'images' and 'annotations'"
        )
    return content


def listed(content: dict[str, Any], key: str, path: Path) -> Sequence[Any]:
    """Return the list under a key of an annotation file."""
    value = content.get(key)
    if not isinstance(value, list):
        raise InputError(f"{path}: has no list '{key}'; is it really an annotation file of this format?")
    return value


def add_once(entries: dict[Key, Value], key: Key, value: Value, what: str, source: str) -> None:
    """Add an entry to those of a file, or say that its id occurs twice."""
    if key in entries:
        raise InputError(f"{source}: the {what} id {key!r} occurs twice in the file")
    entries[key] = value


def parse(model: type[Model], raw: Any, source: str) -> Model:
    """Check one raw record against its fields; the error names the source, the field and what is wrong."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "record"
        given = repr(first["input"])[:60]
        raise InputError(f"{source}: {field}: {first['msg']} (found {given})") from None


def find_image(root: Path, names: Sequence[str | None], source: str) -> Path:
    """Return the first of several possible files under `root`; links in it may lead elsewhere, names may not."""
    candidates = [root / name for name in names if name]
    for candidate in candidates:
        if not Path(os.path.abspath(candidate)).is_relative_to(os.path.abspath(root)):
            raise InputError(f"{source}: the image path {candidate} leaves the folder {root}")
        # Not Path.is_file, which raises an error for a name that no file system can have.
        if os.path.isfile(candidate):
            return candidate
    raise InputError(f"{source}: image not found; looked for {', '.join(map(str, candidates))}")


def category_ids(names: Mapping[str, str], category: str, path: Path) -> set[str]:
    """Return the ids of the categories of that name, given all names by id."""
    chosen = {key for key, name in names.items() if name == category}
    if not chosen:
        raise InputError(
            f"{path}: has no category {category!r}, only {', '.join(names.values())}; box_category= chooses"
        )
    return chosen


@contextmanager
def skipping_bad_records(on_error: str, skipped: Counter[str]) -> Iterator[None]:
    """Let a bad record through as an error, or, with `on_error=skip`, count it and go on."""
    if on_error not in ("raise", "skip"):
        raise InputError(f"data.on_error={on_error}: must be 'raise' or 'skip'")
    try:
        yield
    except InputError as error:
        if on_error == "raise":
            raise
        skipped["bad records"] += 1
        log.warning("skipped: %s", error)


def read_table(path: Path) -> tuple[list[dict[str, str]], Sequence[str]]:
    """Read a CSV file with a header.

    Returns:
        its rows by column, and the columns.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return list(reader), reader.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file ({error})") from None
