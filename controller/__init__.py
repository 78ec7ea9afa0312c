"""The operator that turns OcrProfile resources into what the sidecars read.

The folders are the architecture. From top to bottom, who stands higher may import who stands lower, never back:
`app`, `isolation` and `schedule`, `publish`, `ops`, `mirror` and `kube`, `resource`, `settings`, then `names`, `errors`
and `clock`. docs/architecture.md has the picture.
"""
