"""Who may do what: users, sessions, API tokens, roles and scopes; and what was done."""
