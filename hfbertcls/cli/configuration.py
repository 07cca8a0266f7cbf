"""`--config FILE.yaml`: defaults for the options of `train`, and facts for the card."""

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from hfbertcls.errors import ConfigurationError


def expand_config(words: Sequence[str], switches: Container[str]) -> list[str]:
    """Put the contents of `--config FILE.yaml` before the words of the command line, so that the command line wins.

    Args:
        words: of the command line.
        switches: flags without a value; a key without the `no-` of a flag is its opposite.

    Raises:
        ConfigurationError: if the file cannot be read, or a key has an invalid value.
    """
    name = config_file(words)
    if name is None:
        return list(words)
    values = _read_yaml(Path(name))
    values.pop("card", None)
    expanded = [words[0]]
    for key, value in values.items():
        flag = f"--{key.replace('_', '-')}"
        if key == "config":
            raise ConfigurationError(
                f"--config {Path(name).name} names another configuration. Put all options into one file"
            )
        opposite = f"--no-{flag.removeprefix('--')}"
        if flag in switches or opposite in switches:
            if value not in ("true", "false"):
                raise ConfigurationError(f"--config {Path(name).name}: {key} is {value!r}. Expected true or false")
            switch, word = (flag, "true") if flag in switches else (opposite, "false")
            expanded += [switch] if value == word else []
        elif isinstance(value, list):
            expanded += [flag, *map(str, value)]
        elif isinstance(value, dict):
            expanded += [flag, json.dumps(value)]
        elif value not in ("", "~"):
            expanded += [flag, str(value)]
    return expanded + list(words[1:])


def config_file(words: Sequence[str]) -> str | None:
    """The FILE of `--config FILE` or `--config=FILE`.

    Raises:
        ConfigurationError: if it is missing, or there is more than one.
    """
    files = []
    for position, word in enumerate(words):
        if word == "--config":
            if position + 1 >= len(words):
                raise ConfigurationError("--config needs a file. Pass --config FILE.yaml")
            files.append(words[position + 1])
        elif word.startswith("--config="):
            files.append(word.removeprefix("--config="))
    if len(files) > 1:
        raise ConfigurationError("--config appears more than once. Put all options into one file")
    return files[0] if files else None


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file with every plain value as text: `no` stays "no", `01` stays "01"."""
    import yaml

    from hfbertcls.repository.card_metadata import refuse_alias

    class Loader(yaml.BaseLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            refuse_alias(self)
            return super().compose_node(parent, index)

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = [str(key) for key in keys if keys.count(key) > 1]
        if twice:
            raise ConfigurationError(f"--config {path.name} has the key {twice[0]!r} twice. Keep one of them")
        values: dict[str, Any] = loader.construct_mapping(node, deep=True)
        return values

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"--config {path.name} is not a file (a folder, a pipe or a device). Name a file")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except RecursionError as err:
        raise ConfigurationError(
            f"--config {path.name} is nested too deeply. Expected lines such as 'epochs: 3'"
        ) from err
    except OSError as err:
        raise ConfigurationError(f"--config {path.name} cannot be read: {err.strerror}") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigurationError(f"--config {path.name} is not valid YAML: {err}") from err
    if not isinstance(values, dict):
        raise ConfigurationError(f"--config {path.name} holds no options. Expected lines such as 'epochs: 3'")
    if not all(isinstance(key, str) for key in values):
        raise ConfigurationError(
            f"--config {path.name} has keys that are no names. Expected lines such as 'epochs: 3'"
        )
    return values


def card_facts(words: Sequence[str]) -> Mapping[str, Any]:
    """The `card:` block of the configuration: facts that only the author knows.

    Raises:
        ConfigurationError: if it holds no keys.
    """
    name = config_file(words)
    facts = (_read_yaml(Path(name)).get("card") or {}) if name is not None else {}
    if not isinstance(facts, dict):
        raise ConfigurationError("the card: block of the configuration must hold keys such as 'license: mit'")
    return facts
