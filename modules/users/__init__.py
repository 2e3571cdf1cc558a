"""Accounts: who our customers are, and how they prove it.

Owns registration, log-in, the profile and its deactivation. Promises:

- An email address belongs to one account, whatever its letter case or the spelling of its domain (IDNA 2008); a
  database constraint enforces it, not a look-up.
- A password is right in every spelling of its characters (RFC 8265).
- Every change is published in the same transaction: `users.user_registered`, `users.profile_changed`,
  `users.user_deactivated`. No event carries a password, a hash or a token.
- Access tokens are stateless and live for ten minutes: other modules accept the token of a deactivated account until
  it expires, or until they have received `users.user_deactivated`. This module reads its own table and refuses at once.
- A refresh token works once, within thirty days; its successor is again valid for thirty days. A spent token that is
  sent again after REFRESH_GRACE revokes its whole log-in. Deactivation and a change of the password revoke every log-in
  of the account.
- Accounts are never deleted; a deactivated one keeps its email address.

The files:

    admin     accounts, to look up and to deactivate
    api       v1: accounts, the caller's account, tokens; the public keys, which have no version
    apps      routes, scopes
    commands  register, change, deactivate, log in, refresh
    demo      two customers to try things with
    messages  the published language
    models    Account, RefreshGrant
    queries   profiles, and proofs of a password
    rules     emails, passwords, refresh tokens: pure
"""
