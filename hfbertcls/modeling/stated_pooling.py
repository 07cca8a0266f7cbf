"""How an encoder was trained to be read, as far as its repository states it."""

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from hfbertcls.modeling.pooling import Pooling


if TYPE_CHECKING:
    from hfbertcls.modeling.loading import ModelSource


def stated_pooling(source: "ModelSource") -> Pooling | None:
    """How sentence-transformers is told to read an encoder, by the files `modules.json` and `1_Pooling/config.json`.

    ```python
    >>> stated_pooling(ModelSource("sentence-transformers/all-MiniLM-L6-v2"))
    'mean'
    ```

    Args:
        source (`ModelSource`): of the encoder.

    Returns:
        None if nothing is stated, something else is stated (such as the maximum), or the Hub cannot be asked.
    """
    modules = _json_of(source, "modules.json")
    for module in modules if isinstance(modules, list) else []:
        if not isinstance(module, dict) or str(module.get("type", "")).rpartition(".")[2] != "Pooling":
            continue
        path = PurePosixPath(str(module.get("path", "")))
        if path.is_absolute() or ".." in path.parts:
            return None
        return _mode_of(_json_of(source, str(path / "config.json")))
    return None


def _mode_of(config: Any) -> Pooling | None:
    if not isinstance(config, dict):
        return None
    modes = {name.removeprefix("pooling_mode_") for name, value in config.items() if value is True}
    modes &= {one.removeprefix("pooling_mode_") for one in config if one.startswith("pooling_mode_")}
    # (A mean times the root of the length differs by a factor, which the LayerNorm takes out.)
    if modes in ({"mean_tokens"}, {"mean_sqrt_len_tokens"}):
        return "mean"
    return "first" if modes == {"cls_token"} else None


def _json_of(source: "ModelSource", name: str) -> Any:
    """What a JSON file of a model holds; None if it cannot be had or read."""
    try:
        path = source.path / name if source.is_local else Path(_fetched(source, name))
        return json.loads(path.read_text(encoding="utf-8"))
    except (HfHubHTTPError, OSError, ValueError, RecursionError):
        return None


def _fetched(source: "ModelSource", name: str) -> str:
    return str(hf_hub_download(source.name, name, revision=source.revision))
