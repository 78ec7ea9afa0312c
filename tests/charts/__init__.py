"""The chart and the manifests, seen from outside: rendered by Helm's own library, compared, and held to the standards."""
