"""What a release must have, and what is said of it; docs/release.md explains, the Makefile runs it."""
