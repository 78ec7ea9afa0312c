"""BGE-M3 and its reranker: found, tokenised, computed.

The only room of torch, FlagEmbedding and what comes with them, which are imported inside functions.
"""
