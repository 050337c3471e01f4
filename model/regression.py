"""Logistic regression on simple features of a text: what a language model has to beat to be worth its training."""

from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from .params import Fitting
from .words import words


def predictions(texts: Sequence[str], labels: Sequence[str], others: Sequence[str], params: Fitting) -> dict[str, list[str]]:
    """The labels of `others` by the name of the method, fitted on `texts` and their `labels`, of which there are two or more.

    Deterministic: scikit-learn's solver draws nothing, and gensim has one worker, a seed and a hash that is the same in every process.
    """
    from sklearn.linear_model import LogisticRegression

    told = {}
    for name, train, test in _features(texts, others, params):
        fitted = LogisticRegression(C=params.inverse_penalty, max_iter=params.max_iterations).fit(train, labels)
        told[f"{name} + logistic regression"] = [str(label) for label in fitted.predict(test)]
    return told


def _features(texts: Sequence[str], others: Sequence[str], params: Fitting) -> Iterator[tuple[str, object, object]]:
    """(name, features of `texts`, features of `others`) by each method that finds something to count."""
    from gensim.models import FastText, Word2Vec
    from sklearn.feature_extraction.text import TfidfVectorizer

    ngrams = (1, params.max_ngram)  # of characters, which needs no words to be split
    weights = TfidfVectorizer(analyzer="char", ngram_range=ngrams, min_df=2, max_features=params.max_features, sublinear_tf=True)
    yield "TF-IDF", weights.fit_transform(texts), weights.transform(others)
    sentences = [words(text) for text in texts]
    if np.unique([word for sentence in sentences for word in sentence], return_counts=True)[1].max(initial=0) < params.min_count:
        return
    numbers = {
        "vector_size": params.vector_size,
        "window": params.window,
        "min_count": params.min_count,
        "epochs": params.epochs,
        "seed": params.seed,
        "workers": 1,
        "hashfxn": _hash,
    }
    match params.vectors:
        case "word2vec":
            name, vectors = "Word2Vec", Word2Vec(sentences, **numbers).wv
        case "fasttext":
            name, vectors = "FastText", FastText(sentences, bucket=params.buckets, **numbers).wv
    yield name, _means(vectors, sentences), _means(vectors, [words(text) for text in others])


def _means(vectors: Any, sentences: Sequence[Sequence[str]]) -> np.ndarray:
    """The mean vector of each sentence's known words, of length 1 (sentences, size); zeros where none is known."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    known = sorted(word for word in {word for sentence in sentences for word in sentence} if word in vectors)
    if not known:
        return np.zeros((len(sentences), vectors.vector_size), dtype=np.float32)
    counts = CountVectorizer(analyzer=list, vocabulary=known).transform(sentences)
    return normalize(counts @ np.stack([vectors[word] for word in known]))


def _hash(text: str) -> int:
    return crc32(text.encode())
