"""A run whose last evaluation is worse than its best: the card is about the best weights."""

import json

from hfbertcls import TrainingOptions
from hfbertcls.workflows.train import train_and_evaluate


def test_the_card_reports_the_best_checkpoint_and_not_the_last(tmp_path, tiny_model_dir, reviews_dir):
    """The learning rate climbs until it destroys what was learned, so the last evaluation is far from the best."""
    options = TrainingOptions(
        learning_rate=0.1,
        epochs=4,
        batch_size=16,
        eval_every=10,
        precision="fp32",
        arguments={"warmup_steps": 180, "lr_scheduler_type": "constant_with_warmup", "max_grad_norm": 0.0},
        command="hfbertcls train",
    )
    report = train_and_evaluate(str(tiny_model_dir), str(reviews_dir), tmp_path / "model", options)

    events = [json.loads(line) for line in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    scores = {event["step"]: event["values"]["f1_macro"] for event in events if event["split"] == "validation"}
    best_step = max(scores, key=lambda step: scores[step])
    assert scores[best_step] > scores[max(scores)] + 0.1, "the last evaluation is not worse: the test shows nothing"
    assert report.training.best_step == best_step
    f1_macro = report.validation.f1_macro.value
    assert abs(f1_macro - scores[best_step]) < 1e-9
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"The weights are those of step {best_step} of {max(scores)}" in card
    assert f"| Macro F1 | {scores[best_step]:.3f} |" in card
    assert f"| Macro F1 | {scores[max(scores)]:.3f} |" not in card
