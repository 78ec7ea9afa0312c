"""HTTP, one function per endpoint: read, parse, call the use case, render; who may call, and how bodies come and go.

Decides nothing about pages or vectors, and speaks the wire's format only through `wire`.
"""
