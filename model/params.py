"""The numbers of training, of a base and of decoding, as params.yaml names them. Imports nothing heavy: planning reads them too."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

Positive = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, le=1)]

STRICT = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the training loop needs; the same for pretraining and fine-tuning."""

    __pydantic_config__ = STRICT

    max_steps: Positive  # optimizer steps
    batch_size: Positive  # blocks or examples in one forward pass
    accumulation: Positive  # forward passes to a step
    learning_rate: Annotated[float, Gt(0)]  # the peak
    schedule: Literal["cosine", "linear", "constant", "wsd"]
    warmup_share: Share  # of max_steps
    decay_share: Share  # of max_steps, in which wsd comes down
    weight_decay: Annotated[float, Ge(0)]  # not on norms and biases
    layer_decay: Annotated[float, Gt(0), Le(1)]  # of the learning rate, for each layer further from the head
    gradient_clip: Annotated[float, Gt(0)]  # global norm
    gradient_checkpointing: bool
    ema_decay: Annotated[float, Gt(0), Lt(1)] | None  # None: the weights themselves are validated and kept
    evaluate_every: Positive  # steps
    patience: Positive  # evaluations without a lower validation loss before stopping
    precision: Literal["bfloat16", "float32"]
    compile: bool
    slower_allowed: bool  # without bfloat16 instructions or a compiler, go on and be slower
    seed: Annotated[int, Ge(0)]
    num_threads: Positive  # of a process
    num_processes: Positive
    sharded: bool  # each process holds a part of every tensor instead of all of them (FSDP2)

    def __post_init__(self) -> None:
        """Raise ValueError if the schedule is longer than the run, or the processes cannot share a step or the model."""
        if self.accumulation % self.num_processes:
            raise ValueError(
                f"accumulation {self.accumulation} is no multiple of num_processes {self.num_processes}, which share a step's batches; "
                "change one (and batch_size, for as many rows to a step)"
            )
        if self.sharded and self.num_processes == 1:
            raise ValueError("sharded divides the model among processes, and num_processes is 1; raise it, or set sharded to false")
        if self.sharded and self.compile:
            raise ValueError("sharded does not go with compile; set one of them to false")
        if self.schedule == "wsd" and self.warmup_share + self.decay_share > 1:
            raise ValueError(
                f"warmup_share {self.warmup_share} and decay_share {self.decay_share} of wsd are together longer than the run; lower one"
            )


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What the simple methods need that are fitted: regressions on TF-IDF weights, and on mean vectors of words."""

    __pydantic_config__ = STRICT

    max_train_examples: Positive  # by the hash of the example
    max_ngram: Positive  # characters, of TF-IDF
    max_features: Positive  # of TF-IDF
    inverse_penalty: Annotated[float, Gt(0)]  # of the logistic regressions: C in scikit-learn
    max_iterations: Positive  # of the logistic regressions
    vectors: Literal["word2vec", "fasttext"]  # of words; FastText's are of their parts too
    vector_size: Positive
    window: Positive  # words on either side that a vector is to foretell
    min_count: Positive  # of a word, to have a vector
    buckets: Positive  # that FastText's parts of words share
    epochs: Positive  # of the vectors' training
    seed: Annotated[int, Ge(0)]
    num_threads: Positive


@dataclass(frozen=True, kw_only=True)
class Span:
    """How long a masked span is, in words."""

    __pydantic_config__ = STRICT

    stop: Annotated[float, Interval(gt=0, lt=1)]  # the chance that a word is the last
    longest: Positive


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Word2Vec of the corpus."""

    __pydantic_config__ = STRICT

    size: Positive  # numbers of a word
    window: Positive  # words to either side
    min_count: Positive  # rarer words are not known
    epochs: Positive
    max_words: Positive  # of the corpus


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters, trained instead of the weights and added to them in the end."""

    __pydantic_config__ = STRICT

    rank: Positive
    alpha: Annotated[float, Gt(0)]  # what they add counts alpha / rank times
    dropout: Annotated[float, Interval(ge=0, lt=1)]  # of what they read
    modules: dict[str, Annotated[list[str], MinLen(1)]]  # by base; one that is not named here is trained whole


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a generative model picks its next token."""

    __pydantic_config__ = STRICT

    max_new_tokens: Positive
    strategy: Literal["greedy", "beam", "temperature", "top-k", "top-p", "min-p"]
    num_beams: Positive
    temperature: Annotated[float, Gt(0)]
    top_k: Annotated[int, Ge(0)]
    top_p: Share
    min_p: Share
    seed: Annotated[int, Ge(0)]
