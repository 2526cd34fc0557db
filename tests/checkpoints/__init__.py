"""Tiny checkpoints with fixed random weights, in the file layouts of real rerankers.

Every function fills an empty or missing folder and returns it. Nothing is downloaded and no peer
is imported: tokenizers come from ``tokenizers``, files are written by hand, ``transformers`` is
asked for tensor names and shapes alone. Weights are a function of (seed, tensor name), drawn from
the raw bits of PCG64, whose stream NumPy guarantees: the same bytes on every machine and with
every library version. They are large, so that a wrong position, a wrong token type or a lost
vector moves a score visibly.
"""

from tests.checkpoints.colbert import pylate_colbert, st_multivector, stanford_colbert
from tests.checkpoints.files import (
    read_weights,
    weights_sha256,
    write_json,
    write_tokenizer,
    write_weights,
)
from tests.checkpoints.models import (
    bert_encoder,
    bert_reranker,
    deberta_reranker,
    distilbert_reranker,
    electra_reranker,
    modernbert_encoder,
    modernbert_reranker,
    mpnet_reranker,
    roberta_reranker,
    sentence_transformer,
    two_label_reranker,
    xlmr_reranker,
)
from tests.checkpoints.tokenizers import (
    CJK,
    SUFFIXES,
    WORDS,
    bytes_tokenizer,
    unigram_tokenizer,
    wordpiece_tokenizer,
)
from tests.checkpoints.weights import random_tensor, random_weights

__all__ = [
    "CJK",
    "SUFFIXES",
    "WORDS",
    "bert_encoder",
    "bert_reranker",
    "bytes_tokenizer",
    "deberta_reranker",
    "distilbert_reranker",
    "electra_reranker",
    "modernbert_encoder",
    "modernbert_reranker",
    "mpnet_reranker",
    "pylate_colbert",
    "random_tensor",
    "random_weights",
    "read_weights",
    "roberta_reranker",
    "sentence_transformer",
    "st_multivector",
    "stanford_colbert",
    "two_label_reranker",
    "unigram_tokenizer",
    "weights_sha256",
    "wordpiece_tokenizer",
    "write_json",
    "write_tokenizer",
    "write_weights",
    "xlmr_reranker",
]
