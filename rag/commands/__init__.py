"""The processes and the commands of ``corpuscope``."""
