"""The architectures there are, by the names that Transformers gives them. Imports nothing heavy: planning reads them too."""

ENCODERS = ("bert", "roberta", "modernbert")
DECODERS = ("gpt2", "llama")
GGUF = ("gpt2", "llama", "mistral", "qwen2", "qwen3")  # of a base that goes on from a GGUF file
CHECKPOINTS = (*ENCODERS, *GGUF, "smollm3")  # from a Hugging Face folder
