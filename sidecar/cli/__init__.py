"""The command line: commands, the client they use, and the doctor.

Stands above everything; nothing imports it. No rule about documents or models lives here.
"""
