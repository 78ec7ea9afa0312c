"""OCR for a document system, beside an LLM on one GPU.

Reading order:

- settings, cli, server, app, keys
- the edge: middleware, auth, key_file, schema, multipart, handlers, answer, openapi
- a document: upload_paths, spool, document, pdf, pdf_streams, images, raster, text_quality
- engines: engine, tesseract, page_layout, page_text; workers, worker_limits, worker_preload
- the use case: ocr, page_queue, page_selection
- across: errors, health, telemetry, drain; for people: client, doctor
"""

__version__ = "0.1.0"
