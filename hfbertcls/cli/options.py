"""Options of more than one verb."""

import argparse
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from hfbertcls.modeling.loading import ModelSource


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options of a model."""
    parser.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    add_permissions(parser)


def add_permissions(parser: argparse.ArgumentParser) -> None:
    """The options for code and pickles in the repository of a model."""
    parser.add_argument("--trust-remote-code", action="store_true", help="run custom code from the model's repository")
    parser.add_argument("--allow-pickle", action="store_true", help="load weights that exist only as a pickle")


def add_data_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The options of the data."""
    parser.add_argument(
        "--dataset",
        required=required,
        metavar="D",
        help="a file (csv, tsv, json, jsonl, parquet, arrow, xlsx, txt; also .gz), a folder with train/validation/test "
        "files, or a Hub id (user/name, user/name:config, with @revision)",
    )
    add_columns(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """The columns of the data, and the form of the labels."""
    parser.add_argument("--text-column", metavar="NAME", help="column of the texts (default: text)")
    parser.add_argument("--text-pair-column", metavar="NAME", help="column of the second texts (default: text_pair)")
    parser.add_argument(
        "--label-column",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="column of the labels (default: label), or one column of 0 and 1 for each label",
    )
    parser.add_argument(
        "--label-separator",
        metavar="MARK",
        help="separator between the labels of a multi-label cell (such as ';')",
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="all labels, in the order of their ids or of the values in 0/1 lists",
    )
    add_layout(parser)
    parser.add_argument(
        "--task",
        choices=("single_label", "multi_label", "regression", "ordinal"),
        help="task type (default: single_label or multi_label, inferred from the labels); regression predicts numbers, ordinal "
        "one of labels with an order: by value, or as --labels names them, the lowest first",
    )


def add_layout(parser: argparse.ArgumentParser) -> None:
    """How delimited files are laid out."""
    parser.add_argument(
        "--quoting",
        choices=("auto", "standard", "none"),
        default="auto",
        help="of csv and tsv: quotation marks enclose fields (standard) or are ordinary characters (none); default: auto, "
        "standard unless a tsv shows otherwise",
    )
    parser.add_argument(
        "--no-header",
        dest="header",
        action="store_false",
        help="of csv, tsv and txt: the first line is a row; columns are called column_1, column_2, ...",
    )


def model_source(options: argparse.Namespace) -> "ModelSource":
    """The model that `--model` (or M) and the options of `add_model_options` name."""
    from hfbertcls.modeling.loading import ModelSource

    return ModelSource(options.model, options.revision, options.trust_remote_code, options.allow_pickle)


def columns_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_columns`, as keyword arguments of `load_text_dataset`."""
    names = (
        "text_column",
        "text_pair_column",
        "label_column",
        "label_separator",
        "labels",
        "task",
        "quoting",
        "header",
    )
    return {name: getattr(options, name) for name in names}


def refuse_unknown(options: argparse.Namespace) -> None:
    """Check that every word belongs to an option of the verb.

    Raises:
        ConfigurationError: naming the first of them.
    """
    if options.rest:
        options.parser.error(f"{options.rest[0]!r} belongs to no option")
