"""A graph gives the logits of the model, for any number of texts of any length; other models are rejected."""

import numpy as np
import pytest
import torch
import transformers

from hfbertcls.data.tokenization import tokenize_texts
from hfbertcls.errors import ModelError
from hfbertcls.modeling import onnx_graph
from hfbertcls.modeling.onnx_graph import OnnxClassifier, save_graph, to_int8, to_onnx


SMALL = {
    "num_attention_heads": 2,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "num_labels": 3,
    "pad_token_id": 0,
    "max_position_embeddings": 36,
}
DISTIL = {"dim": 16, "n_heads": 2, "n_layers": 2, "hidden_dim": 32, "num_labels": 3, "max_position_embeddings": 32}
ARCHITECTURES = {
    "bert": ("Bert", {}),
    "camembert": ("Camembert", {}),
    "distilbert": ("DistilBert", DISTIL),
    "electra": ("Electra", {"embedding_size": 16}),
    "modernbert": ("ModernBert", {"local_attention": 8, "global_attn_every_n_layers": 2}),
    "modernbert-mean": ("ModernBert", {"local_attention": 8, "classifier_pooling": "mean"}),
    "roberta": ("Roberta", {}),
    "xlm-roberta": ("XLMRoberta", {}),
    "mpnet": ("MPNet", {}),
    "deberta": ("Deberta", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 16}),
    "deberta-v2": (
        "DebertaV2",
        {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 16},
    ),
}
LONGEST = 32


def classifier(name, vocabulary_size):
    kind, changes = ARCHITECTURES[name]
    values = changes if name == "distilbert" else {**SMALL, **changes}
    config = getattr(transformers, f"{kind}Config")(vocab_size=vocabulary_size, **values)
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    for parameter in model.parameters():  # away from the tiny initial weights, with which all texts are alike
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def texts_of_every_length(vocabulary):
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(vocabulary, length)) for length in range(1, LONGEST - 1)] + [""]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_graph_gives_the_logits_of_the_model(name, tmp_path, tiny_tokenizer, vocabulary):
    model = classifier(name, len(tiny_tokenizer))
    save_graph(to_onnx(model, tiny_tokenizer), tmp_path / "model.onnx")
    graph = OnnxClassifier(tmp_path / "model.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]  # no weights beside it
    texts = texts_of_every_length(vocabulary)
    expected = []
    for text in texts:
        with torch.no_grad():
            expected.append(model(**tiny_tokenizer(text, return_tensors="pt")).logits[0].numpy())
    assert np.ptp(np.stack(expected), axis=0).min() > 0.1  # the texts have different logits
    tokenized = tokenize_texts(texts, tiny_tokenizer, LONGEST)
    assert tokenized.num_tokens.max() == LONGEST
    for most_tokens in (1, 100, 10_000):  # one text at a time, a few, all together
        np.testing.assert_allclose(graph.score(tiny_tokenizer, tokenized, most_tokens), np.stack(expected), atol=1e-4)


def test_what_cannot_be_a_graph_is_rejected(tiny_tokenizer, monkeypatch):
    model = classifier("bert", len(tiny_tokenizer))
    monkeypatch.setattr(onnx_graph, "_LARGEST_FILE", 10)
    with pytest.raises(ModelError, match=r"the weights of BertForSequenceClassification take .* holds at most"):
        to_onnx(model, tiny_tokenizer)
    monkeypatch.undo()
    forward = model.forward

    def by_content(input_ids, attention_mask, token_type_ids):
        if input_ids.sum() > 100:  # control flow on the input, which a graph cannot have
            attention_mask = attention_mask * 0 + 1
        return forward(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)

    monkeypatch.setattr(model, "forward", by_content)
    with pytest.raises(ModelError, match=r"BertForSequenceClassification cannot be exported to ONNX \("):
        to_onnx(model, tiny_tokenizer)


def test_the_second_feed_forward_matrix_keeps_fp32(tiny_tokenizer):
    program = to_onnx(classifier("bert", len(tiny_tokenizer)), tiny_tokenizer)
    quantised = to_int8(program)
    kept = [
        tuple(node.inputs[1].const_value.shape)
        for node in quantised.graph
        if node.op_type == "MatMul" and node.inputs[1].const_value is not None
    ]
    assert kept == [(32, 16)] * 2  # of both layers
    assert sum(node.op_type == "MatMulInteger" for node in quantised.graph) >= 10  # q, k, v, out and up of both
