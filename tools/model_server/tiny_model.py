"""Writes a tiny vision model with random weights, in the form of Qwen2-VL: its language part and its projector.

``python -m tools.model_server.tiny_model FOLDER`` needs PyPI's ``gguf``. The model sees the picture and writes small
letters and spaces. At temperature 1 it ends after some words; at 0 it repeats itself before long.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Weights = Callable[..., Any]
LANGUAGE, PROJECTOR = "tiny.gguf", "tiny-projector.gguf"
WIDTH, HIDDEN, LAYERS, HEADS = 64, 128, 2, 4
PATCH, PICTURE = 14, 560
CONTEXT = 32_768
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
END = "<|im_end|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz "
STEADY = 8.0
"""What the first of all numbers of a token is, in every layer: by it some tokens are liked more than others."""
LIKED, ENDING, DISLIKED = 4.0, 3.9, -4.0
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes: printable ones stand for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def write(folder: Path) -> None:
    """Write both files."""
    chance = np.random.default_rng(17)

    def weights(*shape: int) -> Any:
        return chance.normal(0, 0.1, shape).astype(np.float32)

    _write_language(folder / LANGUAGE, weights)
    _write_projector(folder / PROJECTOR, weights)


def _write_language(file: Path, weights: Weights) -> None:
    import gguf  # noqa: PLC0415 - only the command needs it

    tokens = [*byte_letters(), *SPECIAL, "th"]
    language = gguf.GGUFWriter(file, "qwen2vl")
    _describe(language, gguf, tokens)
    letters, looks, says = byte_letters(), weights(len(tokens), WIDTH), weights(len(tokens), WIDTH)
    looks[:, 0], says[:, 0] = STEADY, DISLIKED
    says[[tokens.index(letters[ord(one)]) for one in LETTERS], 0] = LIKED
    says[tokens.index(END), 0] = ENDING
    language.add_tensor("token_embd.weight", looks)
    language.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    language.add_tensor("output.weight", says)
    for layer in range(LAYERS):
        for name in ("attn_norm", "ffn_norm"):
            language.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
        for name in ("attn_q", "attn_k", "attn_v"):
            language.add_tensor(f"blk.{layer}.{name}.bias", weights(WIDTH))
        for name in ("attn_q", "attn_k", "attn_v"):
            language.add_tensor(f"blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
        language.add_tensor(f"blk.{layer}.attn_output.weight", _steady(weights(WIDTH, WIDTH)))
        for name in ("ffn_gate", "ffn_up"):
            language.add_tensor(f"blk.{layer}.{name}.weight", weights(HIDDEN, WIDTH))
        language.add_tensor(f"blk.{layer}.ffn_down.weight", _steady(weights(WIDTH, HIDDEN)))
    _save(language)


def _write_projector(file: Path, weights: Weights) -> None:
    import gguf  # noqa: PLC0415 - likewise

    projector = gguf.GGUFWriter(file, "clip")
    _describe_projector(projector)
    for name in ("v.patch_embd.weight", "v.patch_embd.weight.1"):
        projector.add_tensor(name, weights(WIDTH, 3, PATCH, PATCH).astype(np.float16))
    for layer in range(LAYERS):
        for name in ("ln1", "ln2"):
            projector.add_tensor(f"v.blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
            projector.add_tensor(f"v.blk.{layer}.{name}.bias", weights(WIDTH))
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            projector.add_tensor(f"v.blk.{layer}.{name}.weight", weights(WIDTH, WIDTH))
            projector.add_tensor(f"v.blk.{layer}.{name}.bias", weights(WIDTH))
        projector.add_tensor(f"v.blk.{layer}.ffn_up.weight", weights(HIDDEN, WIDTH))
        projector.add_tensor(f"v.blk.{layer}.ffn_up.bias", weights(HIDDEN))
        projector.add_tensor(f"v.blk.{layer}.ffn_down.weight", weights(WIDTH, HIDDEN))
        projector.add_tensor(f"v.blk.{layer}.ffn_down.bias", weights(WIDTH))
    projector.add_tensor("v.post_ln.weight", np.ones(WIDTH, np.float32))
    projector.add_tensor("v.post_ln.bias", weights(WIDTH))
    projector.add_tensor("mm.0.weight", weights(4 * WIDTH, 4 * WIDTH))
    projector.add_tensor("mm.0.bias", weights(4 * WIDTH))
    projector.add_tensor("mm.2.weight", _steady(weights(WIDTH, 4 * WIDTH)))
    bias = weights(WIDTH)
    bias[0] = STEADY
    projector.add_tensor("mm.2.bias", bias)
    _save(projector)


def _steady(matrix: Any) -> Any:
    """Let a layer leave the first number of each token as it is."""
    matrix[0, :] = 0
    return matrix


def _describe(writer: Any, gguf: Any, tokens: list[str]) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_sections([2, 3, 3, 0])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL if one in SPECIAL else gguf.TokenType.NORMAL for one in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(tokens.index(END))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(TEMPLATE)


def _describe_projector(writer: Any) -> None:
    writer.add_bool("clip.has_vision_encoder", val=True)
    writer.add_string("clip.projector_type", "qwen2vl_merger")
    writer.add_uint32("clip.vision.image_size", PICTURE)
    writer.add_uint32("clip.vision.patch_size", PATCH)
    writer.add_uint32("clip.vision.embedding_length", WIDTH)
    writer.add_uint32("clip.vision.feed_forward_length", HIDDEN)
    writer.add_uint32("clip.vision.block_count", LAYERS)
    writer.add_uint32("clip.vision.projection_dim", WIDTH)
    writer.add_uint32("clip.vision.attention.head_count", HEADS)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    writer.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    writer.add_bool("clip.use_gelu", val=True)


def _save(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
