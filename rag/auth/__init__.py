"""Who is asking: accounts, sign-in, sessions, invitations, and what an administrator may do."""
