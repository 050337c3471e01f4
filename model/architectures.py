"""The architectures there are, by the names that Transformers gives them. Imports nothing heavy: planning reads them too."""

ENCODERS = ("bert", "roberta", "modernbert")
DECODERS = ("gpt2", "llama")
GGUF = ("gpt2", "llama", "mistral", "qwen2", "qwen3")  # of a base that goes on from a GGUF file
CHECKPOINTS = (*ENCODERS, *GGUF, "smollm3")  # from a Hugging Face folder

_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
MODULES = {  # the linear ones inside a base, which adapters may stand beside
    **dict.fromkeys(("bert", "roberta"), ("query", "key", "value", "dense")),
    "modernbert": ("Wqkv", "Wo", "Wi"),
    "gpt2": ("c_attn", "c_proj", "c_fc"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "smollm3"), _LLAMA),
}
