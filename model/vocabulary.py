"""The special tokens of every tokenizer here, and their ids."""

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|end|>")
PAD, UNK, CLS, SEP, MASK, END = range(len(SPECIAL_TOKENS))  # END opens and closes a decoder's documents

IGNORED = -100  # the label of a position without one
