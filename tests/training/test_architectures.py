"""Every encoder that AutoModelForSequenceClassification loads trains, is saved, and gives the same answers again."""

import copy

import numpy as np
import pytest
import torch
import transformers

from hfbertcls import TextClassificationTrainer, TextClassificationTrainingArguments
from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.modeling.engine import score
from hfbertcls.modeling.lengths import find_max_length, reading_length
from hfbertcls.modeling.loading import ModelSource, load_for_inference, load_for_training, load_tokenizer
from hfbertcls.tasks.single_label import SingleLabel


SMALL = {
    "vocab_size": 60,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "intermediate_size": 32,
}
CONFIGS = {
    "bert": ("BertConfig", {"max_position_embeddings": 32}),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 32, "max_position_embeddings": 32},
    ),
    "roberta": ("RobertaConfig", {"max_position_embeddings": 33, "pad_token_id": 0}),
    "mpnet": ("MPNetConfig", {"max_position_embeddings": 34, "pad_token_id": 0}),
    "electra": ("ElectraConfig", {"embedding_size": 16, "max_position_embeddings": 32}),
    "deberta-v2": (
        "DebertaV2Config",
        {"max_position_embeddings": 32, "relative_attention": True, "pooler_hidden_size": 16},
    ),
    "modernbert": ("ModernBertConfig", {"max_position_embeddings": 32, "pad_token_id": 0}),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_an_encoder_trains_and_comes_back_the_same(name, tmp_path, tiny_tokenizer):
    kind, values = CONFIGS[name]
    config = getattr(transformers, kind)(**{**SMALL, **values})
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "base")
    tiny_tokenizer.save_pretrained(tmp_path / "base")
    source = ModelSource(str(tmp_path / "base"))
    tokenizer = load_tokenizer(source)
    max_length = find_max_length(tokenizer, config)
    assert max_length == 32
    texts = ["good film " * length for length in range(1, 17)] + ["bad plot " * length for length in range(1, 17)]
    tokenized = tokenize_texts(texts, tokenizer, max_length)
    data = tokenized.dataset.add_column("labels", [1] * 16 + [0] * 16)

    model = load_for_training(source, SingleLabel(("bad", "good")), seed=1).model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    args = TextClassificationTrainingArguments(
        output_dir=str(tmp_path / "out"), num_train_epochs=2, learning_rate=1e-2, precision="fp32", eval_every="no"
    )
    trainer = TextClassificationTrainer(model=model, args=args, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    moved = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
    assert len(moved) > len(before) * 0.8

    trainer.save_model(str(tmp_path / "saved"))
    saved = load_for_inference(ModelSource(str(tmp_path / "saved")))
    assert saved.config.id2label == {0: "bad", 1: "good"}
    one_by_one = []
    for text in texts:
        encoded = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            one_by_one.append(saved(**encoded).logits[0].numpy())
    np.testing.assert_allclose(score(saved, tokenizer, tokenized), np.stack(one_by_one), atol=1e-5)


def test_a_classifier_reads_what_its_tokenizer_states_also_beyond_512(tiny_tokenizer):
    tokenizer = copy.deepcopy(tiny_tokenizer)
    tokenizer.model_max_length = 1_024
    config = transformers.ModernBertConfig(max_position_embeddings=8_192)
    assert find_max_length(tokenizer, config) == 512  # to be trained
    assert reading_length(tokenizer, config) == 1_024  # as it was trained, and as pipeline() cuts
    tokenizer.model_max_length = int(1e30)
    assert reading_length(tokenizer, config) == 512
    assert reading_length(tokenizer, transformers.RobertaConfig(max_position_embeddings=130, pad_token_id=1)) == 128
