"""The chart and the manifests, seen from outside: rendered by Helm's own library, and held to the standards."""
