"""The command line: commands, the client they use, and the doctor.

The top layer; nothing imports it. It contains no rule about documents or models.
"""
