"""OCR, embedding and reranking for a document system, beside an LLM on one GPU.

Reading order:

- settings, cli, server, app, keys
- the edge: middleware, auth, key_file, schema, multipart, handlers, answer, openapi
- a document: upload_paths, spool, document, pdf, pdf_streams, images, raster, text_quality
- engines: engine, tesseract, page_layout, page_text; workers, worker_limits, worker_preload
- the use case: ocr, page_queue, page_selection
- embedding and reranking: retrieval_handlers, retrieval_schema, retrieval, batcher, batch_policy, device_placement,
  device_policy, retrieval_engine, retrieval_models; put together in retrieval_parts
- across: errors, health, telemetry, drain, background, compute_thread; for people: client, doctor
"""

__version__ = "0.1.0"
