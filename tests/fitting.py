"""How the simple methods are fitted in tests: small, and in a moment."""

from model.params import Fitting

FITTING = Fitting(
    max_train_examples=100,
    max_ngram=3,
    max_features=1000,
    inverse_penalty=3.0,
    max_iterations=100,
    vectors="word2vec",
    vector_size=8,
    window=2,
    min_count=2,
    buckets=100,
    epochs=2,
    seed=1,
    num_threads=1,
)
