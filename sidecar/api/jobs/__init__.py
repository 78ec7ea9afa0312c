"""Jobs over HTTP: handed in, followed, fetched, given up."""
