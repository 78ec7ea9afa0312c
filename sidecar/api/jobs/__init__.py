"""Jobs over HTTP: handed in, followed, fetched, given up. Nothing here reads a page, or knows what a queue is."""
