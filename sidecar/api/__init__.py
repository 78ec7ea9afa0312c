"""HTTP, one function per endpoint: read, parse, call the use case, render; authentication, and transfer of bodies.

Decides nothing about pages or vectors, and speaks the wire's format only through `wire`.
"""
