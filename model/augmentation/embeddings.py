"""Word embeddings of a corpus, for the words near a word."""

from collections import Counter
from collections.abc import Iterable
from functools import cache
from zlib import crc32

from ..params import Embeddings
from ..words import pieces, unspaced
from .synonym import Near


def neighbours(texts: Iterable[str], numbers: Embeddings, choices: int, seed: int) -> Near:
    """Word2Vec (Mikolov et al., 2013; skip-gram, negative sampling) of the first `numbers.max_words` words of `texts`.

    The same texts give the same numbers: one worker, a seed, and a hash that is the same in every process. What it returns gives at most
    `choices` words, the nearest by cosine, of the kind that was asked for (Chinese words for a Chinese word).
    """
    from gensim.models import Word2Vec

    sentences, count = [], 0
    for text in texts:
        sentences.append([piece.lower() for piece in pieces(text) if any(map(str.isalnum, piece))])
        count += len(sentences[-1])
        if count >= numbers.max_words:
            break
    counts = Counter(word for sentence in sentences for word in sentence)
    if max(counts.values(), default=0) < numbers.min_count:
        return lambda word: ()
    vectors = Word2Vec(
        sentences,
        vector_size=numbers.size,
        window=numbers.window,
        min_count=numbers.min_count,
        epochs=numbers.epochs,
        sg=1,
        seed=seed,
        workers=1,
        hashfxn=_hash,
    ).wv

    @cache
    def near(word: str) -> tuple[str, ...]:
        if word not in vectors:
            return ()
        return tuple(other for other, _ in vectors.most_similar(word, topn=choices) if unspaced(other) == unspaced(word))

    return near


def _hash(text: str) -> int:
    return crc32(text.encode())
