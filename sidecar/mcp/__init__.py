"""The service for language models, by the Model Context Protocol: tools that call a running service, on two transports.

A client of the service like any other, through the public client. It reads no document itself, and of this machine's
files only those in the folder that its operator names.
"""
