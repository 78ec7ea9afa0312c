"""Makes small BGE-M3 and reranker models with random weights, in the format of the published ones.

They are of the XLM-R family like the real ones and are loaded by the same code; their output is meaningless.
They import torch when they make one: that takes seconds, in each process that collects tests.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.fakes.model_texts import NAN_TOKEN, POISON_TOKEN, THAI, Shape, texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
EMBEDDER, RERANKER = Shape(), Shape(positions=514)


def make_embedder(folder: Path, shape: Shape = EMBEDDER, seed: int = 7) -> Path:
    """Write a BGE-M3: encoder, tokenizer, and the two linear layers beside it."""
    import torch
    from transformers import XLMRobertaModel

    torch.manual_seed(seed)
    tokenizer = _tokenizer(shape)
    model = XLMRobertaModel(_config(shape), add_pooling_layer=False)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids(NAN_TOKEN)] = float("nan")
    model.save_pretrained(folder)
    torch.save(torch.nn.Linear(shape.hidden, shape.hidden).state_dict(), folder / "colbert_linear.pt")
    torch.save(torch.nn.Linear(shape.hidden, 1).state_dict(), folder / "sparse_linear.pt")
    tokenizer.save_pretrained(folder)
    return folder


def make_reranker(folder: Path, shape: Shape = RERANKER, seed: int = 8) -> Path:
    """Write a reranker: a classifier with one label, and its tokenizer."""
    import torch
    from transformers import XLMRobertaForSequenceClassification

    torch.manual_seed(seed)
    XLMRobertaForSequenceClassification(_config(shape, num_labels=1)).save_pretrained(folder)
    _tokenizer(shape).save_pretrained(folder)
    return folder


def _config(shape: Shape, **more: Any) -> "XLMRobertaConfig":
    from transformers import XLMRobertaConfig

    return XLMRobertaConfig(
        vocab_size=shape.vocabulary + 1,  # NAN_TOKEN is known, POISON_TOKEN is not
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=shape.positions,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.2,
        **more,
    )


def _tokenizer(shape: Shape) -> "PreTrainedTokenizerFast":
    """Train a tokenizer that works as XLM-R's does: unigrams over words, none across a space."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=shape.vocabulary, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*texts(400), THAI], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_tokens([NAN_TOKEN])
    unused = (f"<unused{number}>" for number in range(tokenizer.get_vocab_size(), shape.vocabulary + 1))
    tokenizer.add_tokens([*unused, POISON_TOKEN])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=shape.positions - 2,
    )


def make_dense(folder: Path, pooling: str = "mean_tokens", shape: Shape = EMBEDDER, seed: int = 9) -> Path:
    """Write an embedder of one dense vector, as multilingual-e5 is: encoder, tokenizer, how its vectors are made."""
    import torch
    from transformers import XLMRobertaModel

    torch.manual_seed(seed)
    XLMRobertaModel(_config(shape)).save_pretrained(folder)  # with a pooler, which nobody uses
    _tokenizer(shape).save_pretrained(folder)
    return _pooled(folder, pooling)


def make_decoder(folder: Path, shape: Shape = EMBEDDER, seed: int = 10) -> Path:
    """Write an embedder made of a decoder, as Qwen3-Embedding is: the vector is that of the end token."""
    import torch
    from tokenizers import processors
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=shape.vocabulary + 1,
        hidden_size=shape.hidden,
        intermediate_size=4 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=1024,
        initializer_range=0.2,
    )
    Qwen3Model(config).save_pretrained(folder)
    tokenizer = _tokenizer(shape)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    tokenizer.cls_token = None
    tokenizer.save_pretrained(folder)
    return _pooled(folder, "lasttoken")


def _pooled(folder: Path, pooling: str) -> Path:
    """Write what sentence-transformers writes beside a model."""
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [{"idx": place, "type": f"sentence_transformers.models.{kind}"} for place, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    names = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    (folder / "1_Pooling").mkdir()
    said = {f"pooling_mode_{name}": name == pooling for name in names}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    return folder
