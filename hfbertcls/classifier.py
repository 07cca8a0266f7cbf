"""`TextClassifier`: from labelled text to a published classifier, in three lines of Python."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hfbertcls.data.dataset import TextDataset
from hfbertcls.data.sources import Data
from hfbertcls.errors import ConfigurationError, HfBertClsError
from hfbertcls.evaluation.report import Report
from hfbertcls.hub.push import Pushed, PushRequest, push_directory
from hfbertcls.inference.frames import answers_in_frame
from hfbertcls.inference.inputs import answered
from hfbertcls.inference.model_files import report_of
from hfbertcls.inference.pipelines import load_trained
from hfbertcls.inference.scorer import Scorer, task_of_classifier
from hfbertcls.modeling.loading import ModelSource
from hfbertcls.progress import Log, print_line, watched
from hfbertcls.repository.card_text import format_number
from hfbertcls.repository.output_directory import OutputDirectory
from hfbertcls.repository.summary import summary
from hfbertcls.repository.verify import Verification
from hfbertcls.workflows.calls import as_call, data_to_measure_on, data_to_train_on, training_options
from hfbertcls.workflows.compare import TFIDF, ModelComparison, compare_models, source_of
from hfbertcls.workflows.evaluate import evaluate_model
from hfbertcls.workflows.options import training_arguments
from hfbertcls.workflows.train import train_and_evaluate
from hfbertcls.workflows.verify import verify


if TYPE_CHECKING:
    import pandas as pd
    from transformers import TextClassificationPipeline


class TextClassifier:
    """A text classifier with its report: trained here, or loaded from a directory or the Hub.

    ```python
    >>> classifier = TextClassifier.train("encoder", "reviews.csv", "film-reviews")  # doctest: +SKIP
    >>> classifier = TextClassifier.from_pretrained("my-model")
    >>> classifier
    TextClassifier('my-model', single-label, labels: negative, positive; test: accuracy ..., macro F1 ...)
    >>> classifier("a lovely film")
    [{'label': 'positive', 'score': 0...}]
    ```

    Make one with `TextClassifier.train` or `TextClassifier.from_pretrained`.

    Args:
        source (`ModelSource`): the model.
        pipeline: that answers.
    """

    def __init__(self, source: ModelSource, pipeline: "TextClassificationPipeline") -> None:
        self.source = source
        self.pipeline = pipeline
        self.task = task_of_classifier(source)

    @classmethod
    def train(
        cls,
        model: str | ModelSource,
        data: Data | TextDataset,
        output_dir: str | Path,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
        log: Log | None = print_line,
        **options: Any,
    ) -> Self:
        """Fine-tune an encoder on labelled text, keep the best checkpoint on validation, and write a model repository.

        Fewer than 300 training rows, or fewer than five of a label on average, all train the model and are
        cross-validated, if there is no validation split.

        ```python
        >>> classifier = TextClassifier.train("encoder", "reviews.csv", "film-reviews", max_steps=5, seed=1, log=None)
        >>> classifier.labels
        ('negative', 'positive')
        ```

        Args:
            model: the encoder: a Hub id, a directory, or a `ModelSource`.
            data: what `load_text_dataset` takes (a path, a Hub id, a DataFrame, a `Dataset` or `DatasetDict`, lists),
                or its result.
            output_dir: where to write a complete model repository.
            revision: a branch, tag or commit of the encoder.
            trust_remote_code: run code that the encoder's repository brings along.
            allow_pickle: load weights that exist only as a pickle.
            log: called with each line of progress; None shows nothing, no bar either.
            **options: by the names that the flags of `hfbertcls train` have: `epochs=3`, `learning_rate=3e-5`,
                `batch_size=16`, `early_stopping=2`, `seed=1`, `metric="accuracy"`, `max_length=128`, `overwrite=True`;
                fields of transformers' `TrainingArguments`, such as `weight_decay=0.1`; and the options of
                `load_text_dataset`, such as `text_column="review"`.

        Returns:
            the classifier in `output_dir`.

        Raises:
            ConfigurationError: if there is no such option, or options do not fit.
            DatasetError, ModelError, OutputDirectoryError: before training, with the fix.
        """
        source = model
        if not isinstance(source, ModelSource):
            source = ModelSource(source, revision, trust_remote_code, allow_pickle)
        call = as_call("train", source, data, {"output_dir": str(output_dir), **options})
        run_options = training_options(options, call)
        with watched(log) as lines:
            directory = OutputDirectory(Path(output_dir))
            directory.check(overwrite=run_options.overwrite, resume=run_options.resume)
            training_arguments(directory, run_options)
            rows = data_to_train_on(data, options, run_options.seed)
            report = train_and_evaluate(source, rows, output_dir, run_options, lines)
            for line in summary(report).splitlines():
                lines(line)
            return cls.from_pretrained(str(output_dir), log=log)

    @classmethod
    def from_pretrained(
        cls,
        repo_or_dir: str | Path,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        allow_pickle: bool = False,
        log: Log | None = print_line,
        **kwargs: Any,
    ) -> Self:
        """Load any trained classifier.

        ```python
        >>> TextClassifier.from_pretrained("my-model")
        TextClassifier('my-model', single-label, labels: negative, positive; test: accuracy ..., macro F1 ...)
        ```

        Args:
            repo_or_dir: a directory, or a repository on the Hub.
            revision: a branch, tag or commit of the repository.
            trust_remote_code: run code that the repository brings along.
            allow_pickle: load weights that exist only as a pickle.
            log: called with each line of progress; None shows nothing, no bar either.
            **kwargs: for `transformers.pipeline`, such as `device`.

        Raises:
            ModelError: if there is no such model, or it is no trained classifier of labels.
        """
        source = ModelSource(str(repo_or_dir), revision, trust_remote_code, allow_pickle)
        with watched(log):
            task_of_classifier(source)
            return cls(source, load_trained(source, **kwargs))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, in the order of their ids."""
        return self.task.labels

    @cached_property
    def report(self) -> Report | None:
        """The report of the model (`report.json` of the directory or repository); None if it has none.

        Raises:
            DatasetError: if it is damaged.
            ModelError: if it cannot be fetched from the Hub.
        """
        return report_of(self.source)

    def __call__(self, inputs: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        """Answer a text or a list of texts of any length, as transformers' `pipeline()` does; see `load_pipeline`.

        ```python
        >>> classifier = TextClassifier.from_pretrained("my-model", log=None)
        >>> classifier("a lovely film")
        [{'label': 'positive', 'score': 0...}]
        >>> classifier(["a lovely film", "so dull"])
        [{'label': 'positive', 'score': 0...}, {'label': 'negative', 'score': 0...}]
        ```

        Args:
            inputs: a text, or a list or Series of texts.
            text_pair: the second text, or as many second texts, for a classifier of pairs:
                `classifier("A man sleeps.", text_pair="He is awake.")`. Or `inputs` holds tuples, or dicts with the keys
                `text` and `text_pair`.
            **kwargs: of the pipeline, such as `top_k=None` for the scores of all labels.

        Returns:
            for each text its label and score, in a list; of a multi-label classifier a list of them for each text.

        Raises:
            ConfigurationError: if a classifier of pairs gets a single text, or the reverse.
        """
        return answered(self.pipeline, self.source, inputs, text_pair, **kwargs)

    def predict(self, texts: Any, text_pair: Any = None, *, log: Log | None = print_line) -> "pd.DataFrame":
        """Classify texts, of any length and number, one row each, in their order.

        ```python
        >>> classifier = TextClassifier.from_pretrained("my-model", log=None)
        >>> classifier.predict(["a lovely film", "so dull"]).prediction.tolist()
        ['positive', 'negative']
        ```

        Args:
            texts: a list, an array or a Series of texts, whose index the rows keep. `predict_file` classifies the rows
                of a file. Pairs can be tuples, or dicts with the keys `text` and `text_pair`.
            text_pair: as many second texts, for a classifier of pairs.
            log: called with each line of progress; None shows nothing, no bar either.

        Returns:
            a DataFrame with the columns `prediction` (the label; of a multi-label classifier the list of labels whose
            score reaches their decision threshold), `score` (of the predicted label; not for a multi-label
            classifier), and the score of every label under its name. A label that is called like one of the other
            columns has `label ` before its name. Where a text has no answer, such as an empty one, the values are
            missing, and a column `reason` says why.

        Raises:
            ConfigurationError: if `texts` is a single text, or a table; if a classifier of pairs gets single texts, or the
                reverse.
        """
        with watched(log):
            scorer = Scorer(self.pipeline.model, self.pipeline.tokenizer, self.task)  # type: ignore[arg-type]
            return answers_in_frame(scorer, self.source, texts, text_pair)

    def evaluate(
        self,
        data: Data | TextDataset,
        split: str | None = None,
        *,
        output_dir: str | Path | None = None,
        log: Log | None = print_line,
        **reading: Any,
    ) -> Report:
        """Measure the classifier on labelled text, in fp32, with intervals.

        ```python
        >>> classifier = TextClassifier.from_pretrained("my-model", log=None)
        >>> report = classifier.evaluate("other.csv", log=None)
        >>> report.test.accuracy
        Metric(value=..., low=..., high=...)
        ```

        Args:
            data: what `load_text_dataset` takes, or its result; columns are those that the model was trained on, where
                the data have them.
            split: which split; by default test, else validation, else the only one.
            output_dir: where to write `report.json`, `predictions/` and `plots/`; None writes nothing.
            log: called with each line of progress; None shows nothing, no bar either.
            **reading: the options of `load_text_dataset`, such as `text_column="review"`.

        Raises:
            ConfigurationError: if there is no such option.
            DatasetError: if the data cannot be read, or have a label that the model lacks.
        """
        command = as_call("evaluate", self.source, data, {"split": split, **reading})
        with watched(log) as lines:
            rows = data_to_measure_on([self.source], data, reading)
            return evaluate_model(self.source, rows, split, output_dir, command, lines)

    def compare(
        self,
        other: "str | ModelSource | TextClassifier",
        data: Data | TextDataset,
        split: str | None = None,
        *,
        output_dir: str | Path | None = None,
        log: Log | None = print_line,
        **reading: Any,
    ) -> ModelComparison:
        """Compare the classifier (A) with another one (B) on the same rows, with a test.

        ```python
        >>> classifier = TextClassifier.from_pretrained("my-model", log=None)
        >>> comparison = classifier.compare("tfidf", "reviews", log=None)
        >>> comparison.comparison.verdict
        '...'
        ```

        Args:
            other: `"tfidf"` (logistic regression on TF-IDF weights, fitted on the train split of the data), a
                classifier, or the directory or Hub id of one.
            data: what `load_text_dataset` takes, or its result.
            split: which split; by default test, else validation, else the only one.
            output_dir: where to write `comparison.json` and `disagreements.csv`; None writes nothing.
            log: called with each line of progress; None shows nothing, no bar either.
            **reading: the options of `load_text_dataset`, such as `text_column="review"`.

        Raises:
            ConfigurationError: if there is no such option.
            DatasetError: if the data have no train split for `tfidf`, or labels that a model lacks.
            ModelError: if the other is no trained classifier, or has other labels.
        """
        rival = other.source if isinstance(other, TextClassifier) else TFIDF if other == TFIDF else source_of(other)
        sources = [self.source, *([] if isinstance(rival, str) else [rival])]
        with watched(log) as lines:
            return compare_models(
                self.source, rival, data_to_measure_on(sources, data, reading), split, output_dir, lines
            )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        commit_message: str | None = None,
        create_pr: bool = False,
        revision: str | None = None,
        tag: str | None = None,
        predictions: bool = True,
        card_of: str | None = None,
        overwrite: bool = False,
        log: Log | None = print_line,
    ) -> Pushed:
        """Push the directory to the Hub as one commit, or leave the Hub unchanged.

        ```python
        >>> classifier.push_to_hub("me/reviews", private=True)  # doctest: +SKIP
        Pushed(repo_id='me/reviews', oid='4a1c...', url='https://huggingface.co/me/reviews/commit/4a1c...', ...)
        ```

        Args:
            repo_id: `user/name`, or `name` in the namespace of the account.
            private: whether a new repository is private; an existing one keeps its visibility.
            commit_message: None names the directory.
            create_pr: propose the change as a pull request.
            revision: a branch; created if it does not exist.
            tag: a name for the commit.
            predictions: whether the files with logits and gold labels are pushed.
            card_of: `"hub"` or `"local"`: whose text is kept where both cards were edited.
            overwrite: replace files that no push of ours wrote; else they are an error.
            log: called with each line of progress; None shows nothing, no bar either.

        Raises:
            ConfigurationError: for what can be corrected here, and if the classifier is no directory.
            OutputDirectoryError: if no run wrote the directory.
            SharingError: if a file must not be pushed, or the push failed.
        """
        if not self.source.is_local:
            raise ConfigurationError(
                f"{self.source.public_name!r} was loaded from the Hub, and a push takes a directory that a run wrote. Download "
                "the repository with huggingface_hub.snapshot_download(), and load that directory"
            )
        request = PushRequest(
            repo_id=repo_id,
            public=not private,
            create_pr=create_pr,
            revision=revision,
            tag=tag,
            predictions=predictions,
            card_of=card_of,
            overwrite=overwrite,
            message=commit_message,
        )
        with watched(log) as lines:
            pushed = push_directory(self.source.path, request, lines)
        vars(self).pop("report", None)  # (the push writes the address of the repository into it)
        return pushed

    def verify(self, data: Data | None = None, *, log: Log | None = print_line) -> Verification:
        """Recompute report and card from the files beside the model; with `data`, run the model again too.

        ```python
        >>> TextClassifier.from_pretrained("my-model", log=None).verify(log=None).holds
        True
        ```

        Args:
            data: the training data; None runs nothing.
            log: called with each line of progress; None shows nothing, no bar either.

        Raises:
            ModelError: if there is no report or no card of hfbertcls, or the report is damaged.
        """
        with watched(log) as lines:
            return verify(self.source.name, data, revision=self.source.revision, log=lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source.public_name!r}, {self.task.in_brief}{self._metrics()})"

    def _metrics(self) -> str:
        """The first two metrics of the report, where looking at it needs no network."""
        try:
            report = self.report if self.source.is_local or "report" in vars(self) else None
        except HfBertClsError:
            return ""
        if report is None:
            return ""
        shown, task = report.shown, report.resolved_task
        rows = [
            f"{task.metric_in_sentence(name)} {format_number(shown.metrics[name].value)}" for name in task.key_metrics
        ]
        return f"; {report.shown_split.replace('_', '-')}: {', '.join(rows)}"
