"""Renders the chart, and writes manifests/base from it."""
