"""Options as they are typed: folders of any name, old names, and misspelt ones.

Hydra's answers are right, and written for those who know it.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lynx_pose.config import CONF

# Options and choices that had another name; what a user types by habit is answered with the new one.
RENAMED = {
    "aug=baseline": "fit=false",
    "aug/geometry=tool": "aug/geometry=mmpose",
    "aug/geometry=text": "aug/geometry=thesis",
    "split": "data.split",
    "head/codec/decoding=taylor": "head/codec/decoding=dark",
    "head/codec/decoding=udp_taylor": "head/codec/decoding=udp_dark",
    "head=correction": "model=ief",
    "head=refinement": "model=deeppose",
    "head=pose_machine": "model=cpm",
    "head=hourglass": "model=hourglass",
    "confident": "min_confidence",
    "sure": "coat_min_confidence",
}
# Options that are paths, whatever the dataset.
PATHS = (
    *("run", "images", "boxes", "output", "ckpt", "init.path", "init.folder", "sweep.resume", "data.cache"),
    *("lift", "data.root", "data.train", "data.val", "hydra.run.dir", "hydra.sweep.dir"),
)
# Hydra's flags that are followed by a value.
FLAGS_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--info", "-i", "--shell-completion", "-sc")
# Prefixes of what is Hydra's own business.
HYDRAS = ("-", "+", "~", "hydra")


def renamed_options(arguments: Sequence[str]) -> str | None:
    """Return what to say of options that have another name now; None where there are none."""
    found = []
    for argument in arguments:
        key, _, values = argument.partition("=")
        given = [key, *(f"{key}={value}" for value in values.split(","))]
        found += [f"{old} is called {RENAMED[old]}" for old in given if old in RENAMED]
    return "; ".join(found) or None


def quote_values(arguments: Sequence[str]) -> list[str]:
    """Quote values that Hydra's grammar cannot read, as paths with letters beyond ASCII, brackets or `~`.

    Paths are text, whatever they look like: a folder may be called 2024. What begins as a list, a mapping or a
    quotation stays as it is, so that Hydra says what is wrong with it. Commas separate the values of a sweep.
    """
    parser = OverridesParser.create()

    def read(text: str) -> Override | None:
        try:
            return parser.parse_override(text)
        except HydraException:
            return None

    def quoted(argument: str) -> str:
        key, separator, value = argument.partition("=")
        override = read(argument)
        if not separator or argument.startswith("-") or value[:1] in tuple("[{('\""):
            return argument
        if override is not None and not (key in PATHS and isinstance(override.value(), int | float)):
            return argument
        parts = [part if override is None and read(f"{key}={part}") else _in_quotes(part) for part in value.split(",")]
        return f"{key}={','.join(parts)}"

    return [quoted(argument) for argument in arguments]


def _in_quotes(text: str) -> str:
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


def with_run_named(arguments: Sequence[str]) -> list[str]:
    """Let a folder stand alone where `run=<folder>` is meant."""
    values_of_flags = {index + 1 for index, one in enumerate(arguments) if one in FLAGS_WITH_VALUE}
    return [
        argument if index in values_of_flags or "=" in argument or argument.startswith(HYDRAS) else f"run={argument}"
        for index, argument in enumerate(arguments)
    ]


def with_backbone_named(arguments: Sequence[str]) -> list[str]:
    """Let the name of a single run say which backbone it has in place of its model's; sweeps see to it themselves."""
    (name,) = [one.partition("=")[2] for one in arguments if one.startswith("model.backbone.name=")][-1:] or [""]
    if not name or {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    return [*arguments, f"sweep.suffix='-{name}'"]


def misspelt_option(config_name: str, arguments: Sequence[str]) -> str | None:
    """Return what to say of the first option or choice that does not exist; None where all is well.

    Args:
        config_name: file under `conf/`, without its suffix.
        arguments: of the command line.
    """
    if any(argument.startswith(("--config", "-cd", "-cn", "-cp", "-sc", "--shell")) for argument in arguments):
        return None
    typed = [argument.partition("=") for argument in arguments if "=" in argument and not argument.startswith(HYDRAS)]
    groups = [f"{key}={value.split(',')[0]}" for key, _, value in typed if _is_group(key)]
    for key, _, value in typed:
        if _is_group(key) and (answer := _unknown_choice(key, value)):
            return answer
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            known = list(_keys(OmegaConf.to_container(compose(config_name, overrides=groups))))
    except HydraException:
        # Choices that do not go together, of which Hydra speaks.
        return None
    for key, _, _ in typed:
        if not _is_group(key) and key not in known:
            return f"there is no option {key}={_suggestion(key, known)}"
    return None


def _is_group(key: str) -> bool:
    return (CONF / key.partition("@")[0]).is_dir()


def _unknown_choice(key: str, value: str) -> str | None:
    group = CONF / key.partition("@")[0]
    choices = sorted(path.stem for path in group.glob("*.yaml"))
    for choice in value.strip("[]").split(","):
        # Hydra itself judges what is no plain name, such as glob(*).
        if choice != "null" and choice.replace("/", "").isidentifier() and not (group / f"{choice}.yaml").is_file():
            near = get_close_matches(choice, choices, n=1)
            meant = f"; did you mean {near[0]}?" if near else "."
            return f"{key}={choice}: there is no such choice{meant} There are {', '.join(choices)}"
    return None


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a configuration, those of its inner nodes as well."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        yield f"{prefix}{key}"
        yield from _keys(value, f"{prefix}{key}.")


def _suggestion(key: str, known: Sequence[str]) -> str:
    """Return a question after the option that was meant: one of that name elsewhere, or one of nearly that name."""
    places = [name for name in known if name.rpartition(".")[2] == key]
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    near = (
        places
        or get_close_matches(key, [*groups, *known], n=1)
        or [name for name in known if get_close_matches(key, [name.rpartition(".")[2]], cutoff=0.8)]
    )
    shortest = sorted(near, key=lambda name: (name.count("."), name))[:3]
    return f"; did you mean {' or '.join(f'{name}=' for name in shortest)}?" if near else "; --help lists all"
