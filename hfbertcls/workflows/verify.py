"""`verify()`: recompute a model repository, in a directory or on the Hub, from its own files."""

from pathlib import Path

from hfbertcls.data.sources import Data
from hfbertcls.environment import local_path
from hfbertcls.errors import ConfigurationError
from hfbertcls.hub.verify import verify_repository
from hfbertcls.progress import Log, silent
from hfbertcls.repository.verify import Verification, verify_directory


def verify(
    model: str | Path,
    data: Data | None = None,
    *,
    revision: str | None = None,
    predictions: bool = True,
    log: Log = silent,
) -> Verification:
    """Recompute the report and the card of a model repository, and compare all hashes.

    It proves that the files belong together, not who made them.

    ```python
    >>> verification = verify("my-model")
    >>> verification.holds
    True
    ```

    Args:
        model: a directory that hfbertcls wrote, or the id of a repository on the Hub. Only the files that its report
            states are fetched.
        data: the training data, to run the model again and compare the logits too; None runs nothing.
        revision: a branch, tag or commit of a repository.
        predictions: False accepts missing prediction files.
        log: called with each line of progress, for a person.

    Returns:
        the result: `holds`, `differences`, `missing`, `verdict`.

    Raises:
        ConfigurationError: if a directory has a revision, or `data` comes with `predictions=False`.
        ModelError: if it has no report or no card of hfbertcls, or its report is damaged.
        SharingError: if it cannot be fetched.
        DatasetError: if the data cannot be read.
    """
    name = str(model)
    if data is not None and not predictions:
        raise ConfigurationError("--rescore compares with the predictions. Leave out --without-predictions")
    if not local_path(name).is_dir():
        verification = verify_repository(name, revision, predictions=predictions)
    elif revision is not None:
        raise ConfigurationError(f"--revision {revision} has no meaning for a directory. Leave it out")
    else:
        verification = verify_directory(name, predictions=predictions)
    if data is None:
        return verification
    from hfbertcls.workflows.rescore import rescore

    return rescore(name, data, revision, log, verification)
